//! Containers in a heap: allocator-api2's `Vec` and hashbrown's `HashMap`, both made with [`Heap::here`], which
//! remembers the line. They free and grow as containers do; what they hold of the heap is gone with it; and while they
//! live the heap cannot be reset (the compiler sees to it).
//!
//! `cargo run -p emalloc --features allocator-api2-02 --example containers`

use allocator_api2_02::vec::Vec;
use emalloc::heap::{Heap, HeapError, Limit};
use emalloc::interface::Sited;
use hashbrown::{DefaultHashBuilder, HashMap};

const TEXT: &str = "the heap holds the map, the map holds the words, and the words are in the heap";

/// A map from words to places, made with the handle of a heap.
type Index<'h> = HashMap<&'h str, Vec<usize, &'h Heap>, DefaultHashBuilder, Sited<'h>>;

/// Where each word of a text stands. Words, places and the table are all in the heap.
fn index<'h>(heap: &'h Heap, text: &str) -> Index<'h> {
    let mut index = HashMap::new_in(heap.here());
    for (place, word) in text
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .enumerate()
    {
        let word = heap.alloc_str(word);
        index
            .entry(word)
            .or_insert_with(|| Vec::new_in(heap))
            .push(place);
    }
    index
}

fn main() -> Result<(), HeapError> {
    let mut heap = Heap::builder().limit(Limit::Bytes(1 << 20)).build()?;
    for request in 1..=3 {
        serve(request, &heap);
        heap.reset();
    }
    Ok(())
}

fn serve(request: u32, heap: &Heap) {
    let index = index(heap, TEXT);
    let mut words: Vec<_, _> = Vec::new_in(heap.here());
    words.extend(index.iter());
    words.sort_unstable();
    if request == 1 {
        for (word, places) in &words {
            println!("{word:6} {places:?}");
        }
        let place = index.allocator().location();
        println!("the map was made at {}:{}", place.file(), place.line());
    }
    println!(
        "request {request}: {} bytes used, {} held",
        heap.usage(),
        heap.real_usage()
    );
    // A container that wants more than the limit gets an error.
    let mut greedy: Vec<u64, _> = Vec::new_in(heap);
    println!(
        "  a million numbers: {:?}",
        greedy
            .try_reserve(1_000_000)
            .map_err(|error| error.to_string())
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() {
        main().unwrap();
        let heap = Heap::new().unwrap();
        let index = index(&heap, TEXT);
        assert_eq!(index["heap"], [1, 16]);
        assert_eq!(index.len(), 8);
        assert!(
            index
                .allocator()
                .location()
                .file()
                .ends_with("containers.rs")
        );
    }
}
