/* Owns the answer to where PHP is: the calls under way, the innermost first, without asking for memory. */
#include "php_emalloc.h"

static emalloc_name name(zend_string *string)
{
	return string
		? (emalloc_name) { emalloc_lend(ZSTR_VAL(string), ZSTR_LEN(string)), ZSTR_HASH(string) }
		: (emalloc_name) { emalloc_lend("", 0), 0 };
}

/* What is no function of a script, but said in place of one. */
static emalloc_name other(const char *said)
{
	return (emalloc_name) { emalloc_lend(said, strlen(said)), (uintptr_t) said };
}

static bool is_in(const zend_op *at, const zend_op_array *code)
{
	uintptr_t offset = (uintptr_t) at - (uintptr_t) code->opcodes;
	return offset < code->last * sizeof(zend_op);
}

/* The line that a call of a script is at. PHP notes it only before what may ask for it, which memory is not: at the beginning
 * of a function, what the call has for it may be anything. */
static uint32_t line_of(const zend_execute_data *call)
{
	const zend_op_array *code = &call->func->op_array;
	/* An attribute's line is told by a call without code. */
	if (is_in(call->opline, code) || (code->opcodes == NULL && call->opline != NULL)) {
		return call->opline->lineno;
	}
	if (EG(exception) && is_in(EG(opline_before_exception), code)) {
		return EG(opline_before_exception)->lineno;
	}
	return code->opcodes ? code->opcodes[0].lineno : 0;
}

size_t emalloc_frames(emalloc_frame *frames, size_t most, bool freeing)
{
	size_t count = 0;
	if (zend_is_compiling() && most > 0) {
		emalloc_frame *frame = &frames[count++];
		frame->function = other("{compiler}");
		frame->class = name(NULL);
		frame->file = name(zend_get_compiled_filename());
		frame->line = zend_get_compiled_lineno();
	}
	for (const zend_execute_data *call = EG(current_execute_data); call && count < most; call = call->prev_execute_data) {
		const zend_function *function = call->func;
		/* Included and evaluated code is freed while it still is the current call. */
		if (function == NULL || (freeing && ZEND_CALL_KIND(call) == ZEND_CALL_NESTED_CODE)) {
			continue;
		}
		emalloc_frame *frame = &frames[count++];
		frame->function = name(function->common.function_name);
		frame->class = name(function->common.scope ? function->common.scope->name : NULL);
		if (ZEND_USER_CODE(function->type)) {
			frame->file = name(function->op_array.filename);
			frame->line = line_of(call);
		} else {
			frame->file = name(NULL);
			frame->line = 0;
		}
	}
	if (count == 0 && most > 0) {
		/* PHP begins or ends a request. */
		frames[count++] = (emalloc_frame) { other("{php}"), name(NULL), name(NULL), 0 };
	}
	return count;
}
