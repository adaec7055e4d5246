/*
 * emalloc.h - a memory manager in three layers: storage, heap, interface
 *
 * C11 and C++17.   cc main.c $(pkg-config --cflags --libs emalloc)
 *
 * A heap hands out blocks, takes them back one by one, keeps a hard limit, and can be thrown away at once. Each
 * thread has a current heap, on which emalloc() and its relatives work. Heaps can also be made and used as objects.
 *
 *     char *text = estrdup("hello");
 *     text = erealloc(text, 100);
 *     efree(text);
 *     emalloc_shutdown(0, 0);            // the end of a request: everything is gone
 *
 * Rules that hold for all of it
 *   - A heap belongs to one thread at a time. Two threads never use one heap at once; a block is freed by the thread
 *     that has its heap. Different heaps on different threads need no care at all.
 *   - Sizes are in bytes. Size 0 is a block like any other. Blocks are aligned to 8, and to every power of two up to 4096
 *     of which their size is a multiple.
 *   - What a new block holds is left over from before, unless the function says otherwise.
 *   - Where the original ends the process, a handler of the program decides first (see emalloc_set_fatal_handler).
 *   - Structs with a field `size` at the top can grow in later versions: the caller sets it to sizeof the struct that
 *     it knows, as EMALLOC_HEAP_OPTIONS_INIT does; one that says 0 is refused. In those that the library makes (an
 *     error, a report, an item ...) the library has set it.
 *   - A pointer that is given back must come from the heap. Of wrong ones many are reported (EMALLOC_ERROR_POINTER);
 *     all are in debug mode and in checked mode. Outside of these the call looks for a header in front of the pointer,
 *     and may crash where no heap has memory.
 *
 * Macros defined before this file is included
 *   EMALLOC_NO_ZEND_NAMES  leaves out emalloc(), efree() ... and all other names that do not begin with emalloc_ or
 *                          EMALLOC_, for files that also include PHP's headers
 *   EMALLOC_NO_SITES       calls carry no file and line
 */
#ifndef EMALLOC_H
#define EMALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMALLOC_VERSION_MAJOR 0
#define EMALLOC_VERSION_MINOR 1
#define EMALLOC_VERSION_PATCH 0

/* The version of the library, as text: "0.1.0". */
const char *emalloc_version(void);

#if defined(__GNUC__)
#define EMALLOC_NEW_BLOCK __attribute__((malloc))
#define EMALLOC_SAME_BLOCK __attribute__((warn_unused_result))
#else
#define EMALLOC_NEW_BLOCK
#define EMALLOC_SAME_BLOCK
#endif

/* More than any size: a limit that is none, a reserve or a rest of zero. */
#define EMALLOC_UNLIMITED ((size_t)-1)
#define EMALLOC_NONE ((size_t)-1)

/* A heap. (zend_mm_heap) */
typedef struct emalloc_heap emalloc_heap;

/* ------------------------------------------------------------------------------------------------------------------
 * Where a call stands
 *
 * Functions that end in _at are told the file and the line of their caller, those that end in _rel also the place
 * that relayed the call. The file is a string that stays as it is for as long as the process runs, as __FILE__ does;
 * NULL if nobody knows. Macros without the ending fill this in.
 *
 * A function that allocates for its caller takes the caller's place along and relays it:
 *
 *     char *joined_at(const char *a, const char *b EMALLOC_SITE_DC)
 *     {
 *         char *text = emalloc_rel(strlen(a) + strlen(b) + 1);
 *         ...
 *     }
 *     #define joined(a, b) joined_at((a), (b) EMALLOC_SITE_CC)
 *
 * emalloc_rel(size) stands for emalloc_alloc_rel(size, EMALLOC_SITE_RELAY_C); every function with a place has such a
 * form.
 */
typedef struct emalloc_site {
    const char *file;      /* the place that reports name; NULL if nobody knows */
    const char *orig_file; /* where the call really is, if it was relayed; else NULL */
    unsigned line;
    unsigned orig_line;
} emalloc_site;

#define EMALLOC_SITE_D const char *emalloc_site_file, unsigned emalloc_site_line
#define EMALLOC_SITE_DC , EMALLOC_SITE_D
#ifdef EMALLOC_NO_SITES
#define EMALLOC_SITE_C NULL, 0
#define EMALLOC_SITE_RELAY_C emalloc_site_file, emalloc_site_line, NULL, 0
#else
#define EMALLOC_SITE_C __FILE__, __LINE__
#define EMALLOC_SITE_RELAY_C emalloc_site_file, emalloc_site_line, __FILE__, __LINE__
#endif
#define EMALLOC_SITE_CC , EMALLOC_SITE_C
#define EMALLOC_SITE_RELAY_CC , EMALLOC_SITE_RELAY_C

/* Parameters of the _at and _rel forms. */
#define EMALLOC_AT const char *file, unsigned line
#define EMALLOC_REL const char *file, unsigned line, const char *orig_file, unsigned orig_line

/* ------------------------------------------------------------------------------------------------------------------
 * Blocks of the thread's current heap
 *
 * The current heap is the one given to emalloc_heap_set_current, or else the thread's own, which is made when it is
 * first needed, with the settings of the environment (EMALLOC_STORAGE, EMALLOC_SEGMENT_SIZE, EMALLOC_LIMIT ..., and
 * the original's ZEND_MM_MEM_TYPE, ZEND_MM_SEG_SIZE, ZEND_MM_COMPACT, USE_ZEND_ALLOC), and ends with the thread.
 * Nonsense in a variable ends the process with the original's text and status 255. With USE_ZEND_ALLOC=0 there is no
 * heap, and these are the system's malloc and friends, which may answer NULL.
 *
 *   alloc                size bytes; never NULL but as the program's fatal handler decides          emalloc
 *   safe_alloc           count * size + offset bytes; an overflow is fatal                          safe_emalloc
 *   calloc               count * size bytes, all zero                                               ecalloc
 *   realloc              makes a block hold size bytes; NULL allocates, size 0 keeps a block        erealloc
 *   safe_realloc         the same for count * size + offset bytes                                   safe_erealloc
 *   realloc_recoverable  realloc, but a refusal is a NULL and the old block is untouched            erealloc_recoverable
 *   realloc2             realloc of which only the first copy_size bytes need be kept               erealloc2
 *   realloc2_recoverable both                                                                       erealloc2_recoverable
 *   alloc_recoverable    alloc, but a refusal is a NULL
 *   alloc_aligned        size bytes at a multiple of alignment; one that is no power of two is fatal
 *   free                 takes a block back; NULL is nothing                                        efree
 *   free_size            the same, faster, for a caller who knows the size last asked for           efree_size
 *   strdup, strndup      a copy of a text, of its first length bytes; with a NUL at the end         estrdup, estrndup
 *   block_size           bytes a block can hold, at least what was asked for; 0 for NULL            zend_mem_block_size
 */
void *emalloc_alloc_at(size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_alloc_rel(size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_safe_alloc_at(size_t count, size_t size, size_t offset, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_safe_alloc_rel(size_t count, size_t size, size_t offset, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_calloc_at(size_t count, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_calloc_rel(size_t count, size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_alloc_recoverable_at(size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_alloc_recoverable_rel(size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_alloc_aligned_at(size_t alignment, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_alloc_aligned_rel(size_t alignment, size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_realloc_at(void *block, size_t size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_realloc_rel(void *block, size_t size, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_safe_realloc_at(void *block, size_t count, size_t size, size_t offset, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_safe_realloc_rel(void *block, size_t count, size_t size, size_t offset, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_realloc_recoverable_at(void *block, size_t size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_realloc_recoverable_rel(void *block, size_t size, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_realloc2_at(void *block, size_t size, size_t copy_size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_realloc2_rel(void *block, size_t size, size_t copy_size, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_realloc2_recoverable_at(void *block, size_t size, size_t copy_size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_realloc2_recoverable_rel(void *block, size_t size, size_t copy_size, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void emalloc_free_at(void *block, EMALLOC_AT);
void emalloc_free_rel(void *block, EMALLOC_REL);
void emalloc_free_size_at(void *block, size_t size, EMALLOC_AT);
void emalloc_free_size_rel(void *block, size_t size, EMALLOC_REL);
char *emalloc_strdup_at(const char *text, EMALLOC_AT) EMALLOC_NEW_BLOCK;
char *emalloc_strdup_rel(const char *text, EMALLOC_REL) EMALLOC_NEW_BLOCK;
char *emalloc_strndup_at(const char *text, size_t length, EMALLOC_AT) EMALLOC_NEW_BLOCK;
char *emalloc_strndup_rel(const char *text, size_t length, EMALLOC_REL) EMALLOC_NEW_BLOCK;
size_t emalloc_block_size_at(void *block, EMALLOC_AT);
size_t emalloc_block_size_rel(void *block, EMALLOC_REL);

#define emalloc_alloc(size) emalloc_alloc_at((size), EMALLOC_SITE_C)
#define emalloc_safe_alloc(count, size, offset) emalloc_safe_alloc_at((count), (size), (offset), EMALLOC_SITE_C)
#define emalloc_calloc(count, size) emalloc_calloc_at((count), (size), EMALLOC_SITE_C)
#define emalloc_alloc_recoverable(size) emalloc_alloc_recoverable_at((size), EMALLOC_SITE_C)
#define emalloc_alloc_aligned(alignment, size) emalloc_alloc_aligned_at((alignment), (size), EMALLOC_SITE_C)
#define emalloc_realloc(block, size) emalloc_realloc_at((block), (size), EMALLOC_SITE_C)
#define emalloc_safe_realloc(block, count, size, offset)                                                               \
    emalloc_safe_realloc_at((block), (count), (size), (offset), EMALLOC_SITE_C)
#define emalloc_realloc_recoverable(block, size) emalloc_realloc_recoverable_at((block), (size), EMALLOC_SITE_C)
#define emalloc_realloc2(block, size, copy_size) emalloc_realloc2_at((block), (size), (copy_size), EMALLOC_SITE_C)
#define emalloc_realloc2_recoverable(block, size, copy_size)                                                           \
    emalloc_realloc2_recoverable_at((block), (size), (copy_size), EMALLOC_SITE_C)
#define emalloc_free(block) emalloc_free_at((block), EMALLOC_SITE_C)
#define emalloc_free_size(block, size) emalloc_free_size_at((block), (size), EMALLOC_SITE_C)
#define emalloc_strdup(text) emalloc_strdup_at((text), EMALLOC_SITE_C)
#define emalloc_strndup(text, length) emalloc_strndup_at((text), (length), EMALLOC_SITE_C)
#define emalloc_block_size(block) emalloc_block_size_at((block), EMALLOC_SITE_C)

/* ------------------------------------------------------------------------------------------------------------------
 * Persistent blocks
 *
 * Memory of the system, which outlives requests and counts in no limit. Plain free() takes it back. When the system
 * has none left, the program's fatal handler is asked; by default "Out of memory" is written to standard error and
 * the process ends with status 1.
 */
void *emalloc_persistent_alloc(size_t size) EMALLOC_NEW_BLOCK;
void *emalloc_persistent_safe_alloc(size_t count, size_t size, size_t offset) EMALLOC_NEW_BLOCK;
void *emalloc_persistent_calloc(size_t count, size_t size) EMALLOC_NEW_BLOCK;
void *emalloc_persistent_realloc(void *block, size_t size) EMALLOC_SAME_BLOCK;
void *emalloc_persistent_safe_realloc(void *block, size_t count, size_t size, size_t offset) EMALLOC_SAME_BLOCK;
void *emalloc_persistent_realloc_recoverable(void *block, size_t size) EMALLOC_SAME_BLOCK;
char *emalloc_persistent_strdup(const char *text) EMALLOC_NEW_BLOCK;
char *emalloc_persistent_strndup(const char *text, size_t length) EMALLOC_NEW_BLOCK;
void emalloc_persistent_free(void *block);

/* ------------------------------------------------------------------------------------------------------------------
 * Errors, and who decides
 */
typedef enum emalloc_error_kind {
    EMALLOC_OK = 0,
    EMALLOC_ERROR_LIMIT = 1,    /* the heap's limit stands in the way, after collecting; it can be tried again */
    EMALLOC_ERROR_MEMORY = 2,   /* the storage has no more to give; it can be tried again */
    EMALLOC_ERROR_OVERFLOW = 3, /* the size is more than an address can count */
    EMALLOC_ERROR_WALKING = 4,  /* the heap is being walked and hands out nothing meanwhile */
    EMALLOC_ERROR_POINTER = 5,  /* a pointer that was given back is not what it should be */
    EMALLOC_ERROR_CORRUPT = 6,  /* the heap's own structure is broken (emalloc_heap_check) */
    EMALLOC_ERROR_SETTING = 7,  /* an option, an alignment or a variable of the environment cannot be as it is */
    EMALLOC_ERROR_STORAGE = 8   /* the storage is unknown or could not be set up */
} emalloc_error_kind;

typedef struct emalloc_error {
    size_t size;        /* of this struct */
    int kind;           /* an emalloc_error_kind */
    int reserved;
    emalloc_site site;  /* of the call */
    size_t requested;   /* bytes asked for */
    size_t limit;       /* the limit in the way */
    size_t held;        /* bytes the heap holds */
    void *address;      /* the pointer in question, or the place of the damage */
    char text[512];     /* the original's text where it has one, with no line break at the end */
} emalloc_error;

/* What a fatal handler answers. */
typedef enum emalloc_action {
    EMALLOC_END = 0,     /* write the text and end the process, as the original does */
    EMALLOC_RETRY = 1,   /* try again: memory was freed or the limit raised; where that cannot help it is EMALLOC_END */
    EMALLOC_CONTINUE = 2 /* go on: the call answers NULL, or has done nothing */
} emalloc_action;

/*
 * Called where the original would end the process. It may use the heap (its reserve is open meanwhile), and need not
 * return: it may exit, or longjmp to where the request began. The heap is whole then; emalloc_heap_shutdown(heap, 0,
 * 1) makes it as new. It must not throw a C++ exception: answer EMALLOC_CONTINUE and throw where the NULL arrives.
 *
 * A request of its own that is refused asks it again, from within: it takes the _recoverable forms, which answer NULL.
 * It is asked as often as it answers EMALLOC_RETRY and the request is refused all the same.
 *
 * heap is NULL where there is none: for persistent blocks, without a heap, and while the thread's own heap is being
 * made.
 */
typedef int (*emalloc_fatal_fn)(void *data, emalloc_heap *heap, const emalloc_error *error);

/* Sets the handler of the process, for heaps that have none of their own. NULL takes it away. Answers the one before. */
emalloc_fatal_fn emalloc_set_fatal_handler(emalloc_fatal_fn handler, void *data);

/* Sets the handler of a heap, which comes before that of the process. NULL takes it away. Answers the one before. */
emalloc_fatal_fn emalloc_heap_set_fatal_handler(emalloc_heap *heap, emalloc_fatal_fn handler, void *data);

/* ------------------------------------------------------------------------------------------------------------------
 * Storages: where segments come from
 *
 * Those that come with the library have names: "malloc", "mmap_anon", "mmap_zero" ("win32", "malloc" on Windows). A
 * program can write its own with the handlers below, which are the original's (zend_mm_mem_handlers).
 *
 * init     sets a storage up for one heap, from what the program gave as params; NULL if it cannot be
 * dtor     ends it
 * compact  gives back what the storage itself keeps; NULL if it keeps nothing
 * _alloc   hands out a segment of so many bytes; NULL if it has none
 * _realloc makes one larger or smaller, moving it with its content if need be; NULL, and all is as it was, if that is
 *          not to be had. May be NULL: never
 * _free    takes one back
 *
 * The library writes the header of a segment (its size as it was asked for) before it gives one to _realloc or _free.
 * It does not touch or need next_segment, which is NULL.
 *
 * A heap needs its segments at a multiple of the segment size (huge blocks, too), which these handlers know nothing
 * of. So the library asks for as much more as alignment takes, and uses the part that is aligned. A storage that can
 * do better says so:
 *
 * alignment      all addresses that _alloc and _realloc answer are multiples of this; 0: nothing is promised
 * _alloc_aligned hands out a segment at a multiple of the alignment; NULL: this storage knows no alignment
 *
 * Sizes are multiples of 4096. The handlers of one storage are called by the thread that has the heap, one at a time.
 * They may use other heaps, but not this one. In C++ they must not throw.
 */
typedef struct emalloc_segment {
    size_t size;
    struct emalloc_segment *next_segment;
} emalloc_segment;

typedef struct emalloc_storage emalloc_storage;

typedef struct emalloc_storage_handlers {
    const char *name;
    emalloc_storage *(*init)(void *params);
    void (*dtor)(emalloc_storage *storage);
    void (*compact)(emalloc_storage *storage);
    emalloc_segment *(*_alloc)(emalloc_storage *storage, size_t size);
    emalloc_segment *(*_realloc)(emalloc_storage *storage, emalloc_segment *segment, size_t size);
    void (*_free)(emalloc_storage *storage, emalloc_segment *segment);
    size_t alignment;
    emalloc_segment *(*_alloc_aligned)(emalloc_storage *storage, size_t size, size_t alignment);
} emalloc_storage_handlers;

/* What init answers. It may be the beginning of something larger. */
struct emalloc_storage {
    const emalloc_storage_handlers *handlers;
    void *data;
};

/*
 * Gives handlers their place among the storages with names: in emalloc_heap_options.storage_name, EMALLOC_STORAGE and
 * ZEND_MM_MEM_TYPE. They stay for good, up to 16 of them. Answers 0, or -1 if the name is missing or taken or there
 * is no room.
 */
int emalloc_storage_register(const emalloc_storage_handlers *handlers, void *params);

/* ------------------------------------------------------------------------------------------------------------------
 * Debug mode of a heap
 *
 * Every block knows who asked for it and lies between guards; freed ones are held back for a while. Found are writes
 * beyond a block, writes after a free, double frees, blocks of other heaps, wrong sizes; and at the end of a request,
 * what was never freed. EMALLOC_DEBUG=1 switches it on for all heaps of a program as it is (EMALLOC_DEBUG,
 * EMALLOC_LEAKS: docs/debug.md).
 */
typedef struct emalloc_debug {
    size_t size;              /* sizeof(emalloc_debug) */
    size_t guards;            /* bytes of a guard on each side of a block, at least; at most 4096 */
    size_t quarantine;        /* bytes of freed blocks that are held back; 0: none are */
    size_t quarantine_blocks; /* and how many of them */
    size_t check_every;       /* after so many operations everything is checked; 0: only what is asked for */
    const char *script;       /* the program's name in reports, which stays for as long as the process runs; NULL: "-" */
    int fill;                 /* what new blocks are filled with; -1: nothing */
    int free_fill;            /* what freed blocks are filled with; -1: nothing, and writes after a free are not found */
    int guard_pages;          /* 1: each block ends at a page that nobody can touch */
    int on_error;             /* what follows a report: an emalloc_on_error */
    int leaks;                /* how leaks are written: an emalloc_leaks */
} emalloc_debug;

#define EMALLOC_DEBUG_INIT                                                                                             \
    {sizeof(emalloc_debug), 16, 1 << 20, 4096, 0, NULL, 0xaa, 0x5a, 0, EMALLOC_ON_ERROR_CONTINUE, EMALLOC_LEAKS_TEXT}

typedef enum emalloc_on_error {
    EMALLOC_ON_ERROR_CONTINUE = 0, /* the program goes on; the damage is set right, and so is reported once */
    EMALLOC_ON_ERROR_EXIT = 1,     /* the process ends with status 255 */
    EMALLOC_ON_ERROR_ABORT = 2     /* the process aborts */
} emalloc_on_error;

typedef enum emalloc_leaks {
    EMALLOC_LEAKS_TEXT = 0,  /* in the original's text */
    EMALLOC_LEAKS_JSON = 1,  /* a JSON object per line of the program, each on a line */
    EMALLOC_LEAKS_SILENT = 2 /* not at all */
} emalloc_leaks;

typedef enum emalloc_finding {
    EMALLOC_FINDING_OVERRUN = 0,          /* somebody wrote behind the block */
    EMALLOC_FINDING_UNDERRUN = 1,         /* somebody wrote in front of it */
    EMALLOC_FINDING_WRITE_AFTER_FREE = 2, /* somebody wrote into it after it had been freed */
    EMALLOC_FINDING_RECORD = 3,           /* somebody wrote over what is known of the block */
    EMALLOC_FINDING_POINTER = 4           /* the pointer is wrong: freed already, another heap's, of another size ... */
} emalloc_finding;

typedef struct emalloc_report {
    size_t size;               /* of this struct */
    int finding;               /* an emalloc_finding */
    int at_least;              /* 1: the distance may be larger than is told */
    void *address;             /* the pointer that was given, or the block */
    emalloc_site site;         /* the call in which it was found; unknown at a heap's end */
    void *block;               /* the block there; NULL if none is known */
    size_t block_size;         /* what was asked for */
    emalloc_site allocated;    /* who asked */
    emalloc_site freed;        /* who freed it, if it is held back */
    size_t distance;           /* bytes behind the end, in front of the beginning, or from there on */
    void *changed;             /* the first byte that was changed; NULL if none was */
    size_t changed_bytes;      /* how many were */
    unsigned shown;            /* how many are shown */
    unsigned char found[8];    /* what is there */
    unsigned char expected[8]; /* what had to be there */
    char text[1024];           /* all of that in the original's text, with no line break at the end */
} emalloc_report;

/*
 * Told of what was found. 0: the text is written to standard error; else it is not. It must return; then on_error says
 * how it goes on.
 */
typedef int (*emalloc_report_fn)(void *data, emalloc_heap *heap, const emalloc_report *report);

/* Who is told; NULL: standard error. */
void emalloc_heap_set_report_handler(emalloc_heap *heap, emalloc_report_fn handler, void *data);

typedef struct emalloc_leak {
    size_t size;       /* of this struct */
    emalloc_site site; /* the line that asked for the blocks */
    size_t count;      /* how many they are */
    size_t bytes;      /* what was asked for with all of them */
    void *address;     /* the first one */
    size_t block_size; /* what was asked for with it */
} emalloc_leak;

/* Told of one line and its blocks. The heap hands out and takes back nothing meanwhile. */
typedef void (*emalloc_leak_fn)(void *data, emalloc_heap *heap, const emalloc_leak *leak);

/* Who is told of the blocks that are left over when the heap is shut down (not silently); NULL: standard error. */
void emalloc_heap_set_leak_handler(emalloc_heap *heap, emalloc_leak_fn handler, void *data);

/* Tells of all blocks in use now, in debug mode; with handler NULL on standard error. Answers how many they are. */
size_t emalloc_heap_leaks(emalloc_heap *heap, emalloc_leak_fn handler, void *data);

/* Verifies all blocks, in debug mode, and reports what is wrong. Answers how much that was. (full_mem_check) */
size_t emalloc_heap_check_blocks_at(emalloc_heap *heap, EMALLOC_AT);
size_t emalloc_heap_check_blocks_rel(emalloc_heap *heap, EMALLOC_REL);
#define emalloc_heap_check_blocks(heap) emalloc_heap_check_blocks_at((heap), EMALLOC_SITE_C)

/* ------------------------------------------------------------------------------------------------------------------
 * Heaps
 */
typedef struct emalloc_heap_options {
    size_t size;                             /* sizeof(emalloc_heap_options) */
    const char *storage_name;                /* NULL: the default, which is malloc (on Windows win32) */
    const emalloc_storage_handlers *storage; /* a storage of the program's own, instead of a name */
    void *storage_params;                    /* for its init */
    size_t segment_size;                     /* a power of two from 64K to 1G; 0: 256K (ZEND_MM_SEG_SIZE) */
    size_t limit;                            /* the most bytes to hold from the storage; 0: no limit */
    size_t soft_limit;                       /* see emalloc_heap_set_soft_limit; 0: none */
    size_t reserve;                          /* bytes set aside for a fatal handler; 0: 8K; EMALLOC_NONE: none */
    size_t retain;                           /* bytes of segments to keep over a reset; 0: as recent requests needed;
                                                EMALLOC_NONE: only the first segment */
    size_t compact;                          /* a reset after more than this was held compacts the storage; 0: never */
    int warm;                                /* 1: segments come from, and go to, one store of warm mappings that all
                                                such heaps of the process share; for servers, with segments of 2M. No
                                                storage is named then */
    int checked;                             /* 1: every pointer given back is verified */
    const emalloc_debug *debug;              /* debug mode; NULL: as EMALLOC_DEBUG says */
} emalloc_heap_options;

#define EMALLOC_HEAP_OPTIONS_INIT {sizeof(emalloc_heap_options), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL}

/*
 * Makes a heap. (zend_mm_startup_ex) With options NULL, the settings of the environment make it (zend_mm_startup).
 *
 * If it cannot be made, the answer is NULL and *error says why; if error is NULL, the program's fatal handler is
 * asked, and by default the text goes to standard error and the process ends with status 255.
 */
emalloc_heap *emalloc_heap_start(const emalloc_heap_options *options, emalloc_error *error);

/*
 * The end of a request (full is 0): everything in the heap is gone at once, the cost grows with the number of
 * segments and not of blocks, and what recent requests needed is kept for the next. Or the end of the heap (full is
 * 1): all goes back to the storage, and the heap is used no more. (zend_mm_shutdown)
 *
 * silent is 1 after a request that was broken off: leaks are not reported. Nothing in the heap is used any more. Not
 * to be called from a handler, an observer or a walk of this heap (in a walk, and where leaks are told, it is an
 * EMALLOC_ERROR_WALKING and nothing is done). A full shutdown of the current heap makes the
 * thread's own current again.
 *
 * A heap that has ended already is an EMALLOC_ERROR_POINTER here and in emalloc_heap_set_current, as long as nobody
 * else has its memory.
 */
void emalloc_heap_shutdown(emalloc_heap *heap, int full, int silent);

/* The same for the thread's current heap. (shutdown_memory_manager, with its arguments the other way round) */
void emalloc_shutdown(int full, int silent);

/* The thread's current heap. (zend_mm_get_heap) NULL if USE_ZEND_ALLOC=0 says that there is none. */
emalloc_heap *emalloc_heap_current(void);

/*
 * Makes a heap current on this thread and answers the one before, which is NULL if it was the thread's own; NULL
 * makes that current again. (zend_mm_set_heap)
 */
emalloc_heap *emalloc_heap_set_current(emalloc_heap *heap);

/* Blocks of a given heap: what the functions above do with the current one. Custom handlers have no say here. */
void *emalloc_heap_alloc_at(emalloc_heap *heap, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_heap_alloc_rel(emalloc_heap *heap, size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_heap_safe_alloc_at(emalloc_heap *heap, size_t count, size_t size, size_t offset,
                                 EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_heap_safe_alloc_rel(emalloc_heap *heap, size_t count, size_t size, size_t offset,
                                  EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_heap_calloc_at(emalloc_heap *heap, size_t count, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_heap_calloc_rel(emalloc_heap *heap, size_t count, size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_heap_alloc_recoverable_at(emalloc_heap *heap, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_heap_alloc_recoverable_rel(emalloc_heap *heap, size_t size, EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_heap_alloc_aligned_at(emalloc_heap *heap, size_t alignment, size_t size, EMALLOC_AT) EMALLOC_NEW_BLOCK;
void *emalloc_heap_alloc_aligned_rel(emalloc_heap *heap, size_t alignment, size_t size,
                                     EMALLOC_REL) EMALLOC_NEW_BLOCK;
void *emalloc_heap_realloc_at(emalloc_heap *heap, void *block, size_t size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc_rel(emalloc_heap *heap, void *block, size_t size, EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_heap_safe_realloc_at(emalloc_heap *heap, void *block, size_t count, size_t size, size_t offset,
                                   EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_heap_safe_realloc_rel(emalloc_heap *heap, void *block, size_t count, size_t size, size_t offset,
                                    EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc_recoverable_at(emalloc_heap *heap, void *block, size_t size, EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc_recoverable_rel(emalloc_heap *heap, void *block, size_t size,
                                           EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc2_at(emalloc_heap *heap, void *block, size_t size, size_t copy_size,
                               EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc2_rel(emalloc_heap *heap, void *block, size_t size, size_t copy_size,
                                EMALLOC_REL) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc2_recoverable_at(emalloc_heap *heap, void *block, size_t size, size_t copy_size,
                                           EMALLOC_AT) EMALLOC_SAME_BLOCK;
void *emalloc_heap_realloc2_recoverable_rel(emalloc_heap *heap, void *block, size_t size, size_t copy_size,
                                            EMALLOC_REL) EMALLOC_SAME_BLOCK;
void emalloc_heap_free_at(emalloc_heap *heap, void *block, EMALLOC_AT);
void emalloc_heap_free_rel(emalloc_heap *heap, void *block, EMALLOC_REL);
void emalloc_heap_free_size_at(emalloc_heap *heap, void *block, size_t size, EMALLOC_AT);
void emalloc_heap_free_size_rel(emalloc_heap *heap, void *block, size_t size, EMALLOC_REL);
char *emalloc_heap_strdup_at(emalloc_heap *heap, const char *text, EMALLOC_AT) EMALLOC_NEW_BLOCK;
char *emalloc_heap_strdup_rel(emalloc_heap *heap, const char *text, EMALLOC_REL) EMALLOC_NEW_BLOCK;
char *emalloc_heap_strndup_at(emalloc_heap *heap, const char *text, size_t length, EMALLOC_AT) EMALLOC_NEW_BLOCK;
char *emalloc_heap_strndup_rel(emalloc_heap *heap, const char *text, size_t length, EMALLOC_REL) EMALLOC_NEW_BLOCK;
size_t emalloc_heap_block_size_at(emalloc_heap *heap, void *block, EMALLOC_AT);
size_t emalloc_heap_block_size_rel(emalloc_heap *heap, void *block, EMALLOC_REL);

#define emalloc_heap_alloc(heap, size) emalloc_heap_alloc_at((heap), (size), EMALLOC_SITE_C)
#define emalloc_heap_safe_alloc(heap, count, size, offset)                                                             \
    emalloc_heap_safe_alloc_at((heap), (count), (size), (offset), EMALLOC_SITE_C)
#define emalloc_heap_calloc(heap, count, size) emalloc_heap_calloc_at((heap), (count), (size), EMALLOC_SITE_C)
#define emalloc_heap_alloc_recoverable(heap, size) emalloc_heap_alloc_recoverable_at((heap), (size), EMALLOC_SITE_C)
#define emalloc_heap_alloc_aligned(heap, alignment, size)                                                              \
    emalloc_heap_alloc_aligned_at((heap), (alignment), (size), EMALLOC_SITE_C)
#define emalloc_heap_realloc(heap, block, size) emalloc_heap_realloc_at((heap), (block), (size), EMALLOC_SITE_C)
#define emalloc_heap_safe_realloc(heap, block, count, size, offset)                                                    \
    emalloc_heap_safe_realloc_at((heap), (block), (count), (size), (offset), EMALLOC_SITE_C)
#define emalloc_heap_realloc_recoverable(heap, block, size)                                                            \
    emalloc_heap_realloc_recoverable_at((heap), (block), (size), EMALLOC_SITE_C)
#define emalloc_heap_realloc2(heap, block, size, copy_size)                                                            \
    emalloc_heap_realloc2_at((heap), (block), (size), (copy_size), EMALLOC_SITE_C)
#define emalloc_heap_realloc2_recoverable(heap, block, size, copy_size)                                                \
    emalloc_heap_realloc2_recoverable_at((heap), (block), (size), (copy_size), EMALLOC_SITE_C)
#define emalloc_heap_free(heap, block) emalloc_heap_free_at((heap), (block), EMALLOC_SITE_C)
#define emalloc_heap_free_size(heap, block, size) emalloc_heap_free_size_at((heap), (block), (size), EMALLOC_SITE_C)
#define emalloc_heap_strdup(heap, text) emalloc_heap_strdup_at((heap), (text), EMALLOC_SITE_C)
#define emalloc_heap_strndup(heap, text, length) emalloc_heap_strndup_at((heap), (text), (length), EMALLOC_SITE_C)
#define emalloc_heap_block_size(heap, block) emalloc_heap_block_size_at((heap), (block), EMALLOC_SITE_C)

/*
 * Whether an address lies in a segment of this heap, or anywhere in a huge block: 1 or 0. (is_zend_ptr)
 */
int emalloc_heap_owns(const emalloc_heap *heap, const void *address);

/* ------------------------------------------------------------------------------------------------------------------
 * Limits and figures of a heap
 *
 * Where heap is NULL, because USE_ZEND_ALLOC=0 says that there is none, all functions of a heap can be called: blocks
 * are the system's, figures and what is collected are 0, no address is owned, there is no limit, and one that is set
 * is accepted and does nothing. Handlers, observers and sampling are not to be had.
 */

/*
 * Changes the limit on what the heap holds; EMALLOC_UNLIMITED takes it away. If more is held, the heap collects
 * first. Answers 0, or -1 if that does not suffice; the old limit stays then. (zend_set_memory_limit)
 */
int emalloc_heap_set_limit(emalloc_heap *heap, size_t bytes);

/* The limit, or EMALLOC_UNLIMITED. */
size_t emalloc_heap_limit(const emalloc_heap *heap);

/* Called when a heap that holds `held` bytes is about to take `requested` more and so to pass `limit`. It must return. */
typedef void (*emalloc_soft_limit_fn)(void *data, emalloc_heap *heap, size_t limit, size_t held, size_t requested);

/* Changes the soft limit: passing it is told to the handler, once each time, and refuses nothing. */
void emalloc_heap_set_soft_limit(emalloc_heap *heap, size_t bytes, emalloc_soft_limit_fn handler, void *data);

/* Bytes in blocks (real is 0), or held from the storage (1). (memory_get_usage) */
size_t emalloc_heap_usage(const emalloc_heap *heap, int real);

/* The most of that since the last reset of the heap or of its peaks. (memory_get_peak_usage) */
size_t emalloc_heap_peak(const emalloc_heap *heap, int real);

/* Makes both peaks begin anew at what is used now. (memory_reset_peak_usage) */
void emalloc_heap_reset_peaks(emalloc_heap *heap);

typedef struct emalloc_figures {
    size_t size;             /* sizeof(emalloc_figures), set by the caller */
    size_t usage;            /* bytes in blocks, rounded as they are handed out */
    size_t peak;             /* the most that was */
    size_t real_usage;       /* bytes held from the storage */
    size_t real_peak;        /* the most that were */
    size_t limit;            /* EMALLOC_UNLIMITED if there is none */
    size_t segment_size;     /* bytes of a segment */
    size_t segments;         /* segments cut into pages */
    size_t huge_blocks;      /* blocks with a segment of their own */
    size_t cached;           /* bytes in segments that are empty, kept for what comes */
    size_t free_pages;       /* bytes in free pages, the cached ones included */
    size_t longest_free_run; /* bytes of the largest request that needs no storage */
    size_t free_small;       /* bytes in free blocks inside runs of small blocks */
} emalloc_figures;

/* Fills in as many fields as figures->size has room for. Counts free blocks one by one: not for every request. */
void emalloc_heap_figures(const emalloc_heap *heap, emalloc_figures *figures);

/* Copies the name of the heap's storage, cut to what fits in `room` bytes with its NUL, and answers its whole length. */
size_t emalloc_heap_storage_name(const emalloc_heap *heap, char *name, size_t room);

/*
 * Makes the pages of runs with no block in use free for anything, and gives empty segments back. Answers the bytes of
 * these pages. (zend_mm_gc)
 */
size_t emalloc_heap_collect(emalloc_heap *heap);

/* Collects, and gives back all memory that is to spare; one segment stays. Answers the bytes given back. */
size_t emalloc_heap_trim(emalloc_heap *heap);

/* Verifies the whole heap. Answers 0, or -1 with *error (which may be NULL) saying what is broken. (full_mem_check) */
int emalloc_heap_check(const emalloc_heap *heap, emalloc_error *error);

typedef enum emalloc_item_kind {
    EMALLOC_ITEM_SEGMENT = 0, /* after it come its runs */
    EMALLOC_ITEM_RUN = 1,     /* pages with one use; after a run come its blocks in use */
    EMALLOC_ITEM_BLOCK = 2    /* a block in use */
} emalloc_item_kind;

typedef struct emalloc_item {
    size_t size;       /* of this struct */
    int kind;          /* an emalloc_item_kind */
    int huge;          /* a segment: whether it holds one huge block rather than pages */
    void *address;     /* the first byte */
    size_t bytes;      /* how many */
    const char *holds; /* a run: what for, in words: "small blocks", "nothing" ...; else NULL */
    size_t block_size; /* a run of small blocks: bytes of each; else 0 */
} emalloc_item;

/*
 * Visits everything in the heap, by rising address within each segment, until visit answers something other than 0,
 * which is then the answer; 0 at the end. Meanwhile the heap hands out and takes back nothing.
 */
int emalloc_heap_walk(emalloc_heap *heap, int (*visit)(void *data, const emalloc_item *item), void *data);

/* ------------------------------------------------------------------------------------------------------------------
 * Custom handlers: another allocator in the place of a heap
 *
 * While they are set, emalloc() and its relatives call them when the heap is the current one, and the heap's own
 * figures and limit stand still. They may call the emalloc_heap_ functions on the heap, which never lead back to
 * them. (zend_mm_set_custom_handlers)
 */
typedef struct emalloc_handlers {
    size_t size; /* sizeof(emalloc_handlers) */
    void *data;  /* given to each call */
    void *(*alloc)(void *data, emalloc_heap *heap, size_t size, const emalloc_site *site);
    void (*free)(void *data, emalloc_heap *heap, void *block, const emalloc_site *site);
    void *(*realloc)(void *data, emalloc_heap *heap, void *block, size_t size, const emalloc_site *site);
    size_t (*block_size)(void *data, emalloc_heap *heap, void *block);         /* may be NULL: 0 */
    size_t (*collect)(void *data, emalloc_heap *heap);                         /* may be NULL: 0 */
    void (*shutdown)(void *data, emalloc_heap *heap, int full, int silent);    /* may be NULL; called first */
} emalloc_handlers;

/*
 * Sets them; the struct is copied. NULL takes them away, and the heap is itself again; blocks that came from the
 * handlers are then the program's to return. Answers 0, or -1 if alloc, free or realloc is missing.
 */
int emalloc_heap_set_handlers(emalloc_heap *heap, const emalloc_handlers *handlers);

/* Copies those that are set to *handlers and answers 1; 0 if there are none. handlers->size is set by the caller. */
int emalloc_heap_get_handlers(const emalloc_heap *heap, emalloc_handlers *handlers);

/* ------------------------------------------------------------------------------------------------------------------
 * Observers: who is told what a heap has done
 *
 * Any number of them; the one added last is told first. They are told after the fact and may use the heap, of which
 * no observer is told then. The figures and the limit of the heap are the same with and without them. They must
 * return. While there are any, calls take longer.
 */
typedef struct emalloc_observer {
    size_t size; /* sizeof(emalloc_observer) */
    void *data;  /* given to each call */
    /* Each may be NULL. `size` is what was asked for, `usable` what the block can hold. */
    void (*allocated)(void *data, emalloc_heap *heap, void *block, size_t size, size_t usable, const emalloc_site *site);
    void (*freed)(void *data, emalloc_heap *heap, void *block, size_t usable, const emalloc_site *site);
    void (*resized)(void *data, emalloc_heap *heap, void *old_block, size_t old_usable, void *block, size_t size,
                    size_t usable, const emalloc_site *site);
    void (*reset)(void *data, emalloc_heap *heap);
    void (*collected)(void *data, emalloc_heap *heap, size_t bytes);
    void *reserved[4]; /* the library's */
} emalloc_observer;

/*
 * Adds one, which stays alive and where it is until it is removed or the heap ends. It observes one heap at a time; one
 * that observes this heap already becomes the one added last.
 */
void emalloc_heap_add_observer(emalloc_heap *heap, emalloc_observer *observer);

/* Takes one out, at any time. Answers 1, or 0 if it was not there. */
int emalloc_heap_remove_observer(emalloc_heap *heap, emalloc_observer *observer);

/* ------------------------------------------------------------------------------------------------------------------
 * Sampling: who allocates, found out in production
 *
 * Every so many bytes of allocations, at random, a block is noted with the place that asked for it, until it is
 * freed. What is told are estimates that are right on average for blocks of all sizes. EMALLOC_SAMPLE=512K switches
 * it on for all heaps of a program as it is.
 */
typedef struct emalloc_estimate {
    uint64_t samples; /* how many samples it is made of */
    double count;     /* blocks */
    double bytes;     /* their bytes */
} emalloc_estimate;

typedef struct emalloc_profile {
    size_t size;                /* of this struct */
    emalloc_site site;          /* the line that asked */
    emalloc_estimate live;      /* blocks that are in use */
    emalloc_estimate allocated; /* all blocks since sampling began */
    emalloc_estimate left;      /* blocks that were in use at the end of a request */
} emalloc_profile;

/* Told of one place. */
typedef void (*emalloc_profile_fn)(void *data, const emalloc_profile *profile);

/* Begins, or begins anew: a sample every so many bytes on average; 0: 512K. Answers 0, or -1 without memory for it. */
int emalloc_heap_start_sampling(emalloc_heap *heap, size_t bytes);

/* Stops, and forgets what was sampled. */
void emalloc_heap_stop_sampling(emalloc_heap *heap);

/* Tells what samples say, place by place, in no order. Answers how many samples were lost for want of room. */
uint64_t emalloc_heap_profile(emalloc_heap *heap, emalloc_profile_fn visit, void *data);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* ------------------------------------------------------------------------------------------------------------------
 * The original's names
 */
#ifndef EMALLOC_NO_ZEND_NAMES

#define emalloc(size) emalloc_alloc_at((size), EMALLOC_SITE_C)
#define safe_emalloc(count, size, offset) emalloc_safe_alloc_at((count), (size), (offset), EMALLOC_SITE_C)
#define ecalloc(count, size) emalloc_calloc_at((count), (size), EMALLOC_SITE_C)
#define efree(block) emalloc_free_at((block), EMALLOC_SITE_C)
#define efree_size(block, size) emalloc_free_size_at((block), (size), EMALLOC_SITE_C)
#define erealloc(block, size) emalloc_realloc_at((block), (size), EMALLOC_SITE_C)
#define safe_erealloc(block, count, size, offset)                                                                      \
    emalloc_safe_realloc_at((block), (count), (size), (offset), EMALLOC_SITE_C)
#define erealloc_recoverable(block, size) emalloc_realloc_recoverable_at((block), (size), EMALLOC_SITE_C)
#define erealloc2(block, size, copy_size) emalloc_realloc2_at((block), (size), (copy_size), EMALLOC_SITE_C)
#define erealloc2_recoverable(block, size, copy_size)                                                                  \
    emalloc_realloc2_recoverable_at((block), (size), (copy_size), EMALLOC_SITE_C)
#define estrdup(text) emalloc_strdup_at((text), EMALLOC_SITE_C)
#define estrndup(text, length) emalloc_strndup_at((text), (length), EMALLOC_SITE_C)
#define zend_mem_block_size(block) emalloc_block_size_at((block), EMALLOC_SITE_C)

/* Relayed forms: inside a function with EMALLOC_SITE_DC among its parameters. */
#define emalloc_rel(size) emalloc_alloc_rel((size), EMALLOC_SITE_RELAY_C)
#define safe_emalloc_rel(count, size, offset) emalloc_safe_alloc_rel((count), (size), (offset), EMALLOC_SITE_RELAY_C)
#define ecalloc_rel(count, size) emalloc_calloc_rel((count), (size), EMALLOC_SITE_RELAY_C)
#define efree_rel(block) emalloc_free_rel((block), EMALLOC_SITE_RELAY_C)
#define efree_size_rel(block, size) emalloc_free_size_rel((block), (size), EMALLOC_SITE_RELAY_C)
#define erealloc_rel(block, size) emalloc_realloc_rel((block), (size), EMALLOC_SITE_RELAY_C)
#define safe_erealloc_rel(block, count, size, offset)                                                                  \
    emalloc_safe_realloc_rel((block), (count), (size), (offset), EMALLOC_SITE_RELAY_C)
#define erealloc_recoverable_rel(block, size) emalloc_realloc_recoverable_rel((block), (size), EMALLOC_SITE_RELAY_C)
#define erealloc2_rel(block, size, copy_size) emalloc_realloc2_rel((block), (size), (copy_size), EMALLOC_SITE_RELAY_C)
#define erealloc2_recoverable_rel(block, size, copy_size)                                                              \
    emalloc_realloc2_recoverable_rel((block), (size), (copy_size), EMALLOC_SITE_RELAY_C)
#define estrdup_rel(text) emalloc_strdup_rel((text), EMALLOC_SITE_RELAY_C)
#define estrndup_rel(text, length) emalloc_strndup_rel((text), (length), EMALLOC_SITE_RELAY_C)
#define zend_mem_block_size_rel(block) emalloc_block_size_rel((block), EMALLOC_SITE_RELAY_C)

/* Persistent or of the request, as the last argument says. */
#define pemalloc(size, persistent) ((persistent) ? emalloc_persistent_alloc(size) : emalloc(size))
#define safe_pemalloc(count, size, offset, persistent)                                                                 \
    ((persistent) ? emalloc_persistent_safe_alloc((count), (size), (offset)) : safe_emalloc((count), (size), (offset)))
#define pecalloc(count, size, persistent)                                                                              \
    ((persistent) ? emalloc_persistent_calloc((count), (size)) : ecalloc((count), (size)))
#define perealloc(block, size, persistent)                                                                             \
    ((persistent) ? emalloc_persistent_realloc((block), (size)) : erealloc((block), (size)))
#define safe_perealloc(block, count, size, offset, persistent)                                                         \
    ((persistent) ? emalloc_persistent_safe_realloc((block), (count), (size), (offset))                                \
                  : safe_erealloc((block), (count), (size), (offset)))
#define perealloc_recoverable(block, size, persistent)                                                                 \
    ((persistent) ? emalloc_persistent_realloc_recoverable((block), (size)) : erealloc_recoverable((block), (size)))
#define perealloc2(block, size, copy_size, persistent)                                                                 \
    ((persistent) ? emalloc_persistent_realloc((block), (size)) : erealloc2((block), (size), (copy_size)))
#define pefree(block, persistent) ((persistent) ? emalloc_persistent_free(block) : efree(block))
#define pestrdup(text, persistent) ((persistent) ? emalloc_persistent_strdup(text) : estrdup(text))
#define pestrndup(text, length, persistent)                                                                            \
    ((persistent) ? emalloc_persistent_strndup((text), (length)) : estrndup((text), (length)))
#define zend_strndup(text, length) emalloc_persistent_strndup((text), (length))

/* Heaps and storages. */
typedef emalloc_heap zend_mm_heap;
typedef emalloc_segment zend_mm_segment;
typedef emalloc_storage zend_mm_storage;
typedef emalloc_storage_handlers zend_mm_mem_handlers;

#define start_memory_manager() ((void)emalloc_heap_current())
#define shutdown_memory_manager(silent, full) emalloc_shutdown((full), (silent))
#define zend_mm_startup() emalloc_heap_start(NULL, NULL)
#define zend_mm_shutdown(heap, full, silent) emalloc_heap_shutdown((heap), (full), (silent))
#define zend_mm_set_heap(heap) emalloc_heap_set_current(heap)
#define zend_mm_get_heap() emalloc_heap_current()
#define zend_mm_alloc(heap, size) emalloc_heap_alloc((heap), (size))
#define zend_mm_free(heap, block) emalloc_heap_free((heap), (block))
#define zend_mm_realloc(heap, block, size) emalloc_heap_realloc((heap), (block), (size))
#define zend_mm_realloc2(heap, block, size, copy_size) emalloc_heap_realloc2((heap), (block), (size), (copy_size))
#define zend_mm_block_size(heap, block) emalloc_heap_block_size((heap), (block))
#define zend_mm_gc(heap) emalloc_heap_collect(heap)
#define zend_set_memory_limit(bytes) emalloc_heap_set_limit(emalloc_heap_current(), (bytes))
#define zend_memory_usage(real) emalloc_heap_usage(emalloc_heap_current(), (real))
#define zend_memory_peak_usage(real) emalloc_heap_peak(emalloc_heap_current(), (real))
#define zend_memory_reset_peak_usage() emalloc_heap_reset_peaks(emalloc_heap_current())
#define is_zend_mm() (emalloc_heap_current() != NULL)
#define is_zend_ptr(address) emalloc_heap_owns(emalloc_heap_current(), (address))

#endif /* EMALLOC_NO_ZEND_NAMES */

#endif /* EMALLOC_H */
