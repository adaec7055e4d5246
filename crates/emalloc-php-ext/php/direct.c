/* Owns the direct way into our heap, by the functions that PHP exports: where they are, and whether this process is one
 * for it. What is done to them is the library's (crates/emalloc-php-ext/src/direct.rs). */
#include "php_emalloc.h"
#include "zend_ini.h"

#include <dlfcn.h>

static bool is_in = false;
static char why_not[256] = "";

#if defined(__linux__)
#include <link.h>

/* The program or library that PHP is: where it lies, and its table of symbols. (dladdr looks through all of that table for each
 * question.) */
static struct {
	uintptr_t start, end;
	const ElfW(Sym) *symbols;
	const char *names;
	const uint32_t *hash;
} php;

/* An address that the dynamic section names, relocated already or not. */
static const void *named(uintptr_t base, ElfW(Addr) address)
{
	return (const void *) (address < base ? base + address : address);
}

static int look_at(struct dl_phdr_info *info, size_t size, void *inside)
{
	uintptr_t start = UINTPTR_MAX, end = 0;
	const ElfW(Dyn) *entry = NULL;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + part->p_vaddr;
		if (part->p_type == PT_DYNAMIC) {
			entry = (const ElfW(Dyn) *) from;
		} else if (part->p_type == PT_LOAD) {
			start = MIN(start, from);
			end = MAX(end, from + part->p_memsz);
		}
	}
	if ((uintptr_t) inside < start || (uintptr_t) inside >= end || !entry) {
		return 0;
	}
	php.start = start;
	php.end = end;
	for (; entry->d_tag != DT_NULL; entry++) {
		const void *address = named(info->dlpi_addr, entry->d_un.d_ptr);
		if (entry->d_tag == DT_SYMTAB) {
			php.symbols = address;
		} else if (entry->d_tag == DT_STRTAB) {
			php.names = address;
		} else if (entry->d_tag == DT_GNU_HASH) {
			php.hash = address;
		}
	}
	return 1;
}

static bool find_php(void)
{
	/* Some function of PHP's, not on memory: nobody has put another in its place. */
	void *inside = dlsym(RTLD_DEFAULT, "zend_register_list_destructors_ex");
	return inside && dl_iterate_phdr(look_at, inside) && php.symbols && php.names && php.hash;
}

static bool is_php(const void *address)
{
	return (uintptr_t) address >= php.start && (uintptr_t) address < php.end;
}

/* The size of the code of a function, by the table that the dynamic linker looks into; 0 if it is not there. */
static size_t size_of(const char *name)
{
	const uint32_t buckets = php.hash[0], first = php.hash[1], words = php.hash[2];
	const uint32_t *bucket = (const uint32_t *) ((const ElfW(Addr) *) (php.hash + 4) + words);
	const uint32_t *chain = bucket + buckets;
	uint32_t hash = 5381;
	for (const char *c = name; *c; c++) {
		hash = hash * 33 + (unsigned char) *c;
	}
	uint32_t at = bucket[hash % buckets];
	if (at < first) {
		return 0;
	}
	for (;; at++) {
		uint32_t found = chain[at - first];
		if ((found | 1) == (hash | 1) && strcmp(php.names + php.symbols[at].st_name, name) == 0) {
			return php.symbols[at].st_size;
		}
		if (found & 1) {
			return 0;
		}
	}
}

static emalloc_symbol find(emalloc_text name)
{
	char text[64];
	snprintf(text, sizeof(text), "%.*s", (int) name.length, (const char *) name.start);
	return (emalloc_symbol) { dlsym(RTLD_DEFAULT, text), size_of(text) };
}
#else
static bool find_php(void)
{
	return false;
}

static bool is_php(const void *address)
{
	return false;
}

static emalloc_symbol find(emalloc_text name)
{
	return (emalloc_symbol) { NULL, 0 };
}
#endif

static void note(emalloc_text text)
{
	snprintf(why_not, sizeof(why_not), "%.*s", (int) text.length, (const char *) text.start);
}

/* Whether valgrind runs the program: it keeps a copy of the code, and sees that it changes with --smc-check=all only. */
static bool is_under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");
	return preloaded && strstr(preloaded, "vgpreload") != NULL;
}

void emalloc_direct_start(zend_mm_heap *original, bool chained)
{
	static const emalloc_code code = { find, is_php };
	bool insists = zend_string_equals_literal_ci(
		zend_ini_get_value(zend_string_init_interned(ZEND_STRL("emalloc.entry"), true)), "direct");
	if (chained) {
		note(emalloc_lend(ZEND_STRL("another extension's handlers are in")));
	} else if (is_under_valgrind() && !insists) {
		note(emalloc_lend(ZEND_STRL("valgrind runs the program")));
	} else if (zend_memory_peak_usage(true) > ZEND_MM_CHUNK_SIZE) {
		/* Whose a block is, is told by the one chunk. */
		note(emalloc_lend(ZEND_STRL("PHP has taken more than one chunk already")));
	} else if (!find_php()) {
		note(emalloc_lend(ZEND_STRL("PHP's functions are not found here")));
	} else {
		is_in = emalloc_ext_enter(&code, original, emalloc_refused, note);
	}
	if (!is_in) {
		if (insists) {
			zend_error(E_CORE_WARNING, "emalloc: emalloc.entry is 'direct', but it is by handlers: %s", why_not);
		}
		return;
	}
	/* What the original's heap was told before. */
	zend_set_memory_limit((size_t) PG(memory_limit));
#ifdef ZEND_HAS_OOM
	zend_set_memory_hard_limit_percent(zend_ini_long(ZEND_STRL("memory_hard_limit_percent"), 0));
#endif
}

bool emalloc_direct_end(void)
{
	if (is_in && !emalloc_ext_leave()) {
		return false;
	}
	is_in = false;
	return true;
}

bool emalloc_is_direct(void)
{
	return is_in;
}

const char *emalloc_why_not_direct(void)
{
	return why_not;
}
