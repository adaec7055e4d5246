//! Plain tables: no borders, no colours, columns two apart.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table under `headers`. The columns whose numbers are in `left` hold words, the others numbers.
pub fn table<const N: usize>(headers: [&str; N], left: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headers);
    for (index, column) in table.column_iter_mut().enumerate() {
        let alignment = if left.contains(&index) {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        };
        column.set_cell_alignment(alignment);
        column.set_padding((0, 2));
    }
    table
}

/// The table's lines, without blanks at their ends.
pub fn lines(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
