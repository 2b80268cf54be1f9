//! The query language: what people type, what it means, and whether one event fits it.

mod expr;

pub use expr::{Expr, Field, Order, Pattern, Test, Text};

/// A question about events, read and ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub expr: Expr,
}
