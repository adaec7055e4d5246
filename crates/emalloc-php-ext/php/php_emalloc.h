/* Owns what the parts of the glue share, and the functions of the library (crates/emalloc-php-ext/src/ffi.rs). */
#ifndef PHP_EMALLOC_H
#define PHP_EMALLOC_H

#include "php.h"
#include "emalloc_php.h"

#if PHP_VERSION_ID < 80200 || PHP_VERSION_ID >= 80300
# error "emalloc is for PHP 8.2"
#endif
#ifdef ZTS
# error "emalloc is for PHP without threads (NTS); docs/php.md says what threads would need"
#endif
#if defined(__i386__)
# error "emalloc is not for 32-bit x86: PHP's functions are called differently there"
#endif
#if ZEND_DEBUG
# error "emalloc is for PHP that was not built with --enable-debug: there, handlers are others"
#endif

#define PHP_EMALLOC_VERSION "0.1.0"

extern zend_module_entry emalloc_module_entry;

/* The border to the library. Its types are described there (host.rs, config.rs, handlers.rs). */

typedef struct {
	const unsigned char *start;
	size_t length;
} emalloc_text;

typedef struct {
	emalloc_text text;
	uint64_t hash;
} emalloc_name;

typedef struct {
	emalloc_name function;
	emalloc_name class;
	emalloc_name file;
	uint32_t line;
} emalloc_frame;

typedef enum { EMALLOC_OFF, EMALLOC_WATCH, EMALLOC_HEAP } emalloc_mode;

typedef struct {
	zend_mm_heap *heap;
	void *(*allocate)(zend_mm_heap *heap, size_t size);
	void (*free)(zend_mm_heap *heap, void *block);
	void *(*resize)(zend_mm_heap *heap, void *block, size_t size);
	size_t (*size)(zend_mm_heap *heap, void *block);
	bool (*refused)(int kind, const char *text, size_t limit, size_t size);
	void (*fault)(emalloc_text text);
	size_t (*frames)(emalloc_frame *frames, size_t most, bool freeing);
	bool (*request_is_over)(void);
	void (*reset_original)(void);
	size_t (*limit)(void);
	void (*say)(emalloc_text text);
	size_t (*original_usage)(bool real, bool peak);
} emalloc_host;

typedef struct {
	emalloc_text mode, entry, storage, segment_size, sample, report, profile;
	bool debug, leaks;
	void (*warn)(emalloc_text text);
} emalloc_settings;

typedef struct {
	void *(*allocate)(size_t size);
	void (*free)(void *block);
	void *(*resize)(void *block, size_t size);
} emalloc_handlers;

typedef struct {
	void *context;
	void (*begin)(void *context, emalloc_text key);
	void (*end)(void *context);
	void (*integer)(void *context, emalloc_text key, int64_t value);
	void (*real)(void *context, emalloc_text key, double value);
	void (*text)(void *context, emalloc_text key, emalloc_text value);
	void (*truth)(void *context, emalloc_text key, int value);
} emalloc_output;

typedef struct {
	const void *start;
	size_t size;
} emalloc_symbol;

typedef struct {
	emalloc_symbol (*find)(emalloc_text name);
	bool (*holds)(const void *address);
} emalloc_code;

emalloc_mode emalloc_ext_start(const emalloc_settings *settings, const emalloc_host *host);
void emalloc_ext_set_host(const emalloc_host *host);
bool emalloc_ext_finish(void);
void emalloc_ext_stop(void);
emalloc_handlers emalloc_ext_handlers(bool ours, bool careful);
bool emalloc_ext_enter(const emalloc_code *code, zend_mm_heap *other, emalloc_php_hook hook, void (*why)(emalloc_text text));
bool emalloc_ext_leave(void);
void emalloc_ext_set_reporting(bool reporting);
bool emalloc_ext_reports_leaks(void);
void emalloc_ext_request_begins(void);
void emalloc_ext_script_ended(emalloc_text script, size_t peak, size_t real_peak);
void emalloc_ext_request_ended(bool broken);
bool emalloc_ext_set_limit(size_t bytes);
size_t emalloc_ext_usage(bool real, bool peak);
void emalloc_ext_reset_peaks(void);
size_t emalloc_ext_collect(void);
bool emalloc_ext_owns(const void *block);
void emalloc_ext_stats(const emalloc_output *output);
void emalloc_ext_map(const emalloc_output *output);
uint64_t emalloc_ext_mark(void);
void emalloc_ext_leaks(const emalloc_output *output, uint64_t since);
bool emalloc_ext_top(const emalloc_output *output, emalloc_text by, size_t most);
bool emalloc_ext_is_sampling(void);
void emalloc_ext_sample(size_t every);
void emalloc_ext_sample_as_set(void);
emalloc_text emalloc_ext_profile(emalloc_text format, emalloc_text by);
void emalloc_ext_drop(emalloc_text profile);
void emalloc_ext_info(void (*row)(emalloc_text name, emalloc_text value));

/* emalloc.c: the module. */

/* Begins to sample anew; says no if another extension's handlers are on top of ours. */
bool emalloc_profile_begin(size_t every);
void emalloc_profile_end(void);
/* A text of PHP's, for the time of a call. */
emalloc_text emalloc_lend(const char *start, size_t length);

/* memory.c: handlers in and out, and PHP's own functions on memory. */

/* Begins; answers the mode. */
emalloc_mode emalloc_memory_start(const emalloc_settings *settings);
/* Ends; says no if somebody may still come to our heap. */
bool emalloc_memory_end(void);
/* Puts the handlers in that are right now; says no if another extension's are on top of ours. */
bool emalloc_handlers_in(void);
/* Takes them out; says no if another extension's are on top of ours. */
bool emalloc_handlers_out(void);
/* Puts in, or takes out, what is to be in while nobody samples for a profile. */
void emalloc_handlers_rest(void);
/* Takes PHP's functions on memory over, and gives them back. */
void emalloc_take_over(void);
void emalloc_give_back(void);
/* What PHP says of a refused request: answers as emalloc_php_hook does, if it returns. */
int emalloc_refused(const struct emalloc_php_refusal *refusal);

/* direct.c: PHP's functions lead to our heap, without handlers. */

/* Begins that, if it can be; the handlers are in, and somebody else's below them if `chained`. */
void emalloc_direct_start(zend_mm_heap *original, bool chained);
/* Ends it; says no if that cannot be. */
bool emalloc_direct_end(void);
bool emalloc_is_direct(void);
/* Why it is not so. */
const char *emalloc_why_not_direct(void);

/* frames.c: where PHP is. */

size_t emalloc_frames(emalloc_frame *frames, size_t most, bool freeing);

/* ending.c: what becomes of a request's values. */

void emalloc_ending_start(int module_number);
/* To be called when a request has begun: its end is to be a quick one. */
void emalloc_end_quickly(void);
/* To be called when the script has ended. */
void emalloc_is_at_end(void);
/* To be called then, if leaks are looked for: cycles are none. */
void emalloc_collect_cycles_at_end(void);

#endif
