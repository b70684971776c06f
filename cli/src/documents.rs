//! `offmap completions` and `offmap man`.

use crate::arguments::{Arguments, Completions, Man};
use crate::stop::Stop;
use crate::terminal;
use clap::CommandFactory as _;
use std::io;

/// Writes the completions of a shell to stdout.
pub(crate) fn completions(arguments: &Completions) -> Result<u8, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "offmap", &mut text);
    terminal::raw(&text);
    Ok(0)
}

/// Writes the manual page to stdout, or those of all commands to a directory.
pub(crate) fn man(arguments: &Man) -> Result<u8, Stop> {
    let Some(directory) = &arguments.out else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
        rendered.map_err(|e: io::Error| Stop::usage(format!("cannot write the manual page: {e}")))?;
        terminal::raw(&page);
        return Ok(0);
    };
    clap_mangen::generate_to(Arguments::command(), directory)
        .map_err(|e| Stop::usage(format!("cannot write the manual pages to {}: {e}", directory.display())))?;
    Ok(0)
}
