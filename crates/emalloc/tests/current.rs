//! Which heap is current: scopes, unwinding, threads. What a process does with its environment is in `process`.
#![cfg(feature = "std")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::thread;

use emalloc::heap::Heap;
use emalloc::{emalloc, erealloc, mem_block_size, reset_thread_heap, scope, with_current};

fn current() -> *const Heap {
    with_current(|heap| ptr::from_ref(heap.expect("the environment of tests switches nothing off")))
}

fn two() -> (Heap, Heap) {
    (Heap::new().unwrap(), Heap::new().unwrap())
}

#[test]
fn scopes_nest_and_restore() {
    let own = current();
    let (outer, inner) = two();
    let answer = scope(&outer, || {
        assert!(ptr::eq(current(), &outer));
        emalloc(100);
        scope(&inner, || {
            assert!(ptr::eq(current(), &inner));
            emalloc(1000);
            // The same heap once more is nothing special.
            scope(&outer, || emalloc(100));
            assert!(ptr::eq(current(), &inner));
        });
        assert!(ptr::eq(current(), &outer));
        "answer"
    });
    assert_eq!(answer, "answer");
    assert!(ptr::eq(current(), own));
    assert_eq!((outer.usage(), inner.usage()), (208, 1024));
}

#[test]
fn unwinding_restores_each_scope_that_it_leaves() {
    let own = current();
    let (outer, inner) = two();
    scope(&outer, || {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            scope(&inner, || {
                scope(&outer, || resume_unwind(Box::new("out of here")))
            })
        }));
        assert!(unwound.is_err());
        assert!(ptr::eq(current(), &outer));
    });
    assert!(ptr::eq(current(), own));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        scope(&inner, || resume_unwind(Box::new(())))
    }));
    assert!(unwound.is_err());
    assert!(ptr::eq(current(), own));
}

#[test]
fn a_heap_can_serve_one_request_after_another() {
    let (mut first, mut second) = two();
    for request in 1..50 {
        for heap in [&mut first, &mut second] {
            scope(heap, || {
                let block = emalloc(request * 100);
                // SAFETY: alive, and given up for the answer.
                unsafe { erealloc(block, request * 3000) };
            });
            assert!(heap.usage() > 0);
            heap.reset();
            assert_eq!(heap.usage(), 0);
        }
    }
}

#[test]
fn with_current_gives_what_is_current_even_in_a_scope_of_its_own() {
    let heap = Heap::new().unwrap();
    with_current(|own| {
        let own = own.unwrap();
        scope(&heap, || {
            with_current(|inner| assert!(ptr::eq(inner.unwrap(), &heap)));
            assert!(!ptr::eq(own, &heap));
        });
        assert!(ptr::eq(current(), own));
    });
}

#[test]
fn resetting_the_threads_own_heap_touches_no_scope() {
    // On a thread of its own, so that no other test uses that heap.
    thread::spawn(|| {
        let heap = Heap::new().unwrap();
        emalloc(5000);
        scope(&heap, || {
            emalloc(300);
            // SAFETY: nothing in the thread's own heap is used.
            unsafe { reset_thread_heap() };
            assert_eq!(with_current(|heap| heap.unwrap().usage()), 320);
        });
        assert_eq!(with_current(|heap| heap.unwrap().usage()), 0);
    })
    .join()
    .unwrap();
    // A thread that never needed one has none to reset.
    // SAFETY: as above.
    thread::spawn(|| unsafe { reset_thread_heap() })
        .join()
        .unwrap();
}

#[test]
fn each_thread_has_a_heap_of_its_own() {
    let mine = current();
    let usage = with_current(|heap| heap.unwrap().usage());
    let theirs = thread::spawn(|| {
        let block = emalloc(100_000);
        // SAFETY: alive.
        assert!(unsafe { mem_block_size(block) } >= 100_000);
        current().addr()
    })
    .join()
    .unwrap();
    assert_ne!(theirs, mine.addr());
    assert_eq!(with_current(|heap| heap.unwrap().usage()), usage);
}

#[test]
fn a_heap_can_be_made_here_and_be_current_there() {
    let heap = Heap::new().unwrap();
    let heap = thread::spawn(move || {
        scope(&heap, || emalloc(700));
        heap
    })
    .join()
    .unwrap();
    scope(&heap, || emalloc(700));
    assert_eq!(heap.usage(), 2 * 768);
}
