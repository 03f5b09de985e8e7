//! Fields that take one word of a few.

use domain::Invalid;

/// What the word of a field stands for; the usual choice if there is none.
pub(crate) fn choice<T: Copy + Default>(
    field: &str,
    word: Option<&str>,
    (all, name): (&[T], fn(T) -> &'static str),
) -> Result<T, Invalid> {
    let Some(word) = word else { return Ok(T::default()) };
    let found = all.iter().copied().find(|one| name(*one) == word);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        Invalid::field(field, word, format!("one of: {}", names.join(", ")))
    })
}
