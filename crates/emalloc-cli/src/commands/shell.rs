//! `emalloc completions` and `emalloc man`: what a package puts beside the command.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::exit::Exit;

/// Writes a shell's completion script.
pub fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<Exit> {
    // Into memory first: the generator panics where writing fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "emalloc", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Fine)
}

/// Writes the manual page: the command, then each of its commands.
pub fn man(out: &mut dyn Write) -> io::Result<Exit> {
    let mut command = Cli::command();
    command.build();
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    sections(&page, out)?;
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" {
            writeln!(out, ".SH \"EMALLOC {}\"", sub.get_name().to_uppercase())?;
            sections(&Man::new(sub.clone()), out)?;
        }
    }
    page.render_version_section(out)?;
    Ok(Exit::Fine)
}

fn sections(page: &Man, out: &mut dyn Write) -> io::Result<()> {
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    // What stands in lines of its own in the help stays so.
    let mut extra = Vec::new();
    page.render_extra_section(&mut extra)?;
    let extra = String::from_utf8_lossy(&extra).replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
    writeln!(out, "{extra}.fi")
}
