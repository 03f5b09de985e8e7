//! The portal in process, on a database of its own.

mod access;
mod audit;
mod create;
mod forms;
mod harness;
mod live;
mod pages;
mod people;
mod session;
mod session_log;
mod session_show;
mod show;
