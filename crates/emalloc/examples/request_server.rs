//! A server that gives every request a heap of its own.
//!
//! Worker threads share one storage, [`Cached`]: the segments of a request that is over are warm for the next
//! one, on whichever thread that runs. Between it and the heaps stands a [`Budget`] for the tenant, so that all requests
//! at work together stay below a bound; each request has a limit besides. A request that wants too much gets an
//! error, which is an answer like any other ("507 Insufficient Storage"), and nobody else notices.
//!
//! `cargo run --release -p emalloc --example request_server`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use emalloc::heap::{AllocError, Heap, Limit};
use emalloc::storage::{Budget, Cached, MALLOC, Malloc};

const WORKERS: usize = 4;

/// What one request may hold, and all of the tenant's requests together.
const REQUEST_LIMIT: usize = 2 << 20;
const TENANT_LIMIT: usize = WORKERS * REQUEST_LIMIT;

type Tenant = Arc<Budget<Cached<Malloc>>>;

/// A parameter of a request. Names and values lie in the request's heap, as the list itself does.
struct Parameter<'h> {
    name: &'h str,
    value: &'h str,
    next: Option<&'h Parameter<'h>>,
}

/// Reads `a=1&b=2` into a list, last one first.
fn parse<'h>(heap: &'h Heap, query: &str) -> Result<Option<&'h Parameter<'h>>, AllocError> {
    let mut list = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (heap.try_alloc_str(name)?, heap.try_alloc_str(value)?);
        let next = list;
        list = Some(&*heap.try_alloc(Parameter { name, value, next })?);
    }
    Ok(list)
}

/// What the request is for: as many numbers as it asks for, and their sum. Answers the page.
fn page<'h>(heap: &'h Heap, query: &str) -> Result<&'h str, AllocError> {
    let mut list = parse(heap, query)?;
    let mut count = 0;
    while let Some(Parameter { name, value, next }) = list {
        if *name == "count" {
            count = value.parse().unwrap_or(0);
        }
        list = *next;
    }
    // A large block and many small ones, as programs have them.
    let numbers = heap.try_alloc_slice_with(count, |_| 0)?;
    for (index, number) in numbers.iter_mut().enumerate() {
        let piece = heap.try_alloc([index as u64; 4])?;
        *number = piece.iter().sum();
    }
    let sum: u64 = numbers.iter().sum();
    heap.try_alloc_str(&format!("<p>{count} numbers, together {sum}</p>"))
}

/// One request from beginning to end. Dropping the heap gives all of it back at once.
fn serve(tenant: &Tenant, query: &str) -> Result<usize, Box<dyn Error>> {
    let heap = Heap::builder()
        .storage(Arc::clone(tenant))
        .limit(Limit::Bytes(REQUEST_LIMIT))
        .build()?;
    Ok(page(&heap, query)?.len())
}

/// What came of it all.
struct Summary {
    served: usize,
    refused: usize,
    time: Duration,
    tenant: Tenant,
}

fn run(requests: usize) -> Summary {
    let tenant: Tenant = Arc::new(Budget::new(Cached::new(MALLOC), Limit::Bytes(TENANT_LIMIT)));
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = Instant::now();
    thread::scope(|workers| {
        for _ in 0..WORKERS {
            workers.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        break;
                    }
                    // Every hundredth asks for more than it may have.
                    let count = if number % 100 == 99 {
                        1_000_000
                    } else {
                        100 + number * 7919 % 4000
                    };
                    let query = format!("user={number}&count={count}&page=list");
                    if let Err(error) = serve(&tenant, &query)
                        && refused.fetch_add(1, Ordering::Relaxed) == 0
                    {
                        println!("the first refusal: {error}");
                    }
                }
            });
        }
    });
    let refused = refused.into_inner();
    Summary {
        served: requests - refused,
        refused,
        time: begin.elapsed(),
        tenant,
    }
}

fn main() {
    let summary = run(3000);
    let (tenant, cache) = (&summary.tenant, summary.tenant.inner());
    let requests = summary.served + summary.refused;
    println!(
        "{} requests served, {} refused, on {WORKERS} threads",
        summary.served, summary.refused
    );
    println!(
        "{} us a request",
        summary.time.as_micros() / requests as u128
    );
    println!(
        "the tenant held {} bytes at most (limit {TENANT_LIMIT})",
        tenant.peak()
    );
    println!(
        "{} segments came warm from the cache, {} from the system; {} bytes are kept",
        cache.hits(),
        cache.misses(),
        cache.cached_bytes()
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        let summary = super::run(300);
        assert_eq!((summary.served, summary.refused), (297, 3));
        let tenant = summary.tenant;
        assert_eq!(tenant.held(), 0);
        assert!(tenant.peak() <= super::TENANT_LIMIT);
        assert!(tenant.inner().hits() > tenant.inner().misses());
    }
}
