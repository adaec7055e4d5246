// C++17: the macros, a container on a heap, an exception where a request is refused, and blocks that outlive main.
#include <emalloc.h>

#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "check.h"

template <class T> struct of_heap {
    using value_type = T;
    emalloc_heap *heap;

    explicit of_heap(emalloc_heap *heap) : heap(heap) {}
    template <class U> of_heap(const of_heap<U> &other) : heap(other.heap) {}

    T *allocate(std::size_t count)
    {
        void *block = emalloc_heap_safe_alloc(heap, count, sizeof(T), 0);
        if (block == nullptr)
            throw std::bad_alloc();
        return static_cast<T *>(block);
    }
    void deallocate(T *block, std::size_t count) { emalloc_heap_free_size(heap, block, count * sizeof(T)); }
    template <class U> bool operator==(const of_heap<U> &other) const { return heap == other.heap; }
    template <class U> bool operator!=(const of_heap<U> &other) const { return heap != other.heap; }
};

static int go_on(void *, emalloc_heap *, const emalloc_error *) { return EMALLOC_CONTINUE; }

// Freed after main, and after everything that ends with a thread.
struct keeper {
    char *text = estrdup("kept");
    ~keeper()
    {
        CHECK(std::strcmp(text, "kept") == 0);
        efree(text);
        std::puts("the last one is freed");
    }
};
static keeper kept;

int main()
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    options.limit = 4 << 20;
    emalloc_heap *heap = emalloc_heap_start(&options, nullptr);
    emalloc_heap_set_fatal_handler(heap, go_on, nullptr);
    {
        std::vector<int, of_heap<int>> numbers{of_heap<int>(heap)};
        bool refused = false;
        try {
            for (int i = 0;; i++)
                numbers.push_back(i);
        } catch (const std::bad_alloc &) {
            refused = true;
        }
        CHECK(refused && numbers.size() > 100000 && numbers[100000] == 100000);
        numbers = std::vector<int, of_heap<int>>{of_heap<int>(heap)};
        std::map<int, int, std::less<int>, of_heap<std::pair<const int, int>>> squares{of_heap<std::pair<const int, int>>(heap)};
        for (int i = 0; i < 1000; i++)
            squares[i] = i * i;
        CHECK(squares.at(30) == 900);
    }
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
    thread_local std::vector<char, of_heap<char>> last(100, 'x', of_heap<char>(emalloc_heap_current()));
    CHECK(last[99] == 'x');
    char *text = static_cast<char *>(pemalloc(10, 0));
    pefree(text, 0);
    return 0;
}
