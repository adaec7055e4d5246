//! Owns profiles as text: one line per stack, the outermost call first, and its bytes. Flame graph tools read them.

use std::format;
use std::string::String;

use crate::leaks::By;
use crate::stacks::Place;
use crate::watch::Book;

/// The profile of `book`, by one of its sums.
pub fn encode(book: &Book, by: By) -> String {
    let mut text = String::new();
    for (stack, sums) in book.sums.iter().enumerate() {
        let bytes = by.of(sums).bytes.round();
        if bytes < 1.0 {
            continue;
        }
        for (level, place) in book.stacks.stack(stack).rev().enumerate() {
            if level > 0 {
                text.push(';');
            }
            text += &name(place);
        }
        text += &format!(" {bytes}\n");
    }
    text
}

/// The function, and where it was; `;` and line ends mean something else there.
fn name(place: &Place) -> String {
    let name = match &*place.file {
        "" => (*place.function).into(),
        file => {
            let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
            format!("{} ({file}:{})", place.function, place.line)
        }
    };
    name.replace([';', '\n', '\r'], ":")
}
