//! Owns what PHP's functions are told of the heap: figures, and a map of its segments.

use std::format;
use std::string::String;
use std::vec::Vec;

use emalloc::heap::{Heap, Item, Limit, PageUse};
use emalloc::layout::PAGE;

use crate::config::Mode;
use crate::host::Output;
use crate::own::own;
use crate::watch::watch;

/// What a page holds, as the map writes it.
fn letter(holds: PageUse) -> char {
    match holds {
        PageUse::Header => 'H',
        PageUse::Small => 's',
        PageUse::Large => 'L',
        PageUse::Huge => 'U',
        PageUse::Reserve => 'R',
        PageUse::Free => '.',
        _ => '?',
    }
}

/// `Emalloc\stats()`.
pub fn stats(output: &Output) {
    let own = own();
    let mode = match own.config.mode {
        Mode::Heap => "heap",
        Mode::Watch => "watch",
        Mode::Off => "off",
    };
    output.string("mode", mode);
    output.array("heap", |output| match &own.heap {
        Some(heap) => heap_figures(heap, output),
        None => original_figures(output),
    });
    let (blocks, bytes) = watch().counted();
    output.array("requests", |output| {
        output.number("ended", own.requests.get());
        // Otherwise PHP leaves all of it, and lets the heap drop it.
        if own.config.leaks {
            output.number("left_bytes", own.left.get());
        }
    });
    let sampling =
        watch().read(|book| (book.every, book.serial, book.live.len(), book.stacks.len()));
    output.array("sampling", |output| {
        let Some((every, samples, live, stacks)) = sampling else {
            return output.number("every", 0);
        };
        output.number("every", every);
        output.number("blocks", blocks as usize);
        output.number("bytes", bytes as usize);
        output.number("samples", samples as usize);
        output.number("live_samples", live);
        output.number("stacks", stacks);
    });
}

fn original_figures(output: &Output) {
    for (name, real, peak) in [
        ("usage", false, false),
        ("peak", false, true),
        ("real_usage", true, false),
        ("real_peak", true, true),
    ] {
        // SAFETY: it is the glue's function.
        let figure = unsafe { (own().host().original_usage)(real, peak) };
        output.number(name, figure);
    }
}

fn heap_figures(heap: &Heap, output: &Output) {
    // Taken before the array takes memory itself.
    let figures = heap.figures();
    output.number("usage", figures.usage);
    output.number("peak", figures.peak);
    output.number("real_usage", figures.real_usage);
    output.number("real_peak", figures.real_peak);
    if let Limit::Bytes(limit) = heap.limit() {
        output.number("limit", limit);
    }
    output.string("storage", &own().config.storage);
    output.flag("checked", heap.is_checked());
    output.number("segment_size", figures.segment_size);
    output.number("segments", figures.segments);
    output.number("huge_blocks", figures.huge_blocks);
    output.number("cached", figures.cached);
    output.number("free_pages", figures.free_pages);
    output.number("longest_free_run", figures.longest_free_run);
    output.number("free_small", figures.free_small);
    output.ratio("fragmentation", figures.fragmentation);
    output.array("classes", |output| {
        for class in figures.classes.iter().filter(|class| class.runs > 0) {
            output.array(&format!("{}", class.block_size), |output| {
                output.number("runs", class.runs);
                output.number("blocks", class.blocks);
                output.number("live", class.live);
            });
        }
    });
}

/// A segment as the map shows it.
struct Drawn {
    address: usize,
    size: usize,
    huge: bool,
    blocks: usize,
    pages: String,
}

/// `Emalloc\map()`: the segments, each with a letter for each page. Nothing, unless in *heap* mode.
pub fn map(output: &Output) {
    let Some(heap) = &own().heap else { return };
    let mut segments: Vec<Drawn> = Vec::new();
    heap.walk(&mut |item| match item {
        Item::Segment {
            address,
            size,
            huge,
        } => segments.push(Drawn {
            address,
            size,
            huge,
            blocks: 0,
            pages: String::new(),
        }),
        Item::Run {
            address,
            size,
            holds,
            ..
        } => {
            let Some(segment) = segments.last_mut().filter(|segment| !segment.huge) else {
                return;
            };
            // Short runs of less than a page lie among the header's pages.
            let first = (address - segment.address) / PAGE;
            let end = (address + size - segment.address).div_ceil(PAGE);
            let missing = end.saturating_sub(segment.pages.len().max(first));
            let gap = first.saturating_sub(segment.pages.len());
            segment.pages.extend((0..gap).map(|_| 'H'));
            segment.pages.extend((0..missing).map(|_| letter(holds)));
        }
        Item::Block { .. } => {
            if let Some(segment) = segments.last_mut() {
                segment.blocks += 1;
            }
        }
        _ => {}
    });
    for segment in &segments {
        output.array("", |output| {
            output.string("address", &format!("0x{:x}", segment.address));
            output.number("size", segment.size);
            output.string("kind", if segment.huge { "huge" } else { "pages" });
            output.number("blocks", segment.blocks);
            output.string("pages", &segment.pages);
        });
    }
}
