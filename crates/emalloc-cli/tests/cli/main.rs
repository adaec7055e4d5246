//! The command as its users meet it: run as a process, judged by what it prints and how it ends.

mod explain;
mod replay;
mod shell;
mod storages;
mod support;
mod wrong_traces;
