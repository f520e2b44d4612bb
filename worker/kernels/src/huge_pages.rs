//! Memory for weights: zeroed, aligned to pages, and in huge pages if the system has them.
//!
//! A step reads gigabytes in order. With pages of 4 KB the processor looks up a translation for
//! every sixty-fourth line and stops reading ahead at every page's end. With pages of 2 MB the same
//! loop reads about a third faster.

#![expect(unsafe_code, reason = "a mapping is bytes, and weights are read as what they are")]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use candle_core::{Error, Result};
use memmap2::MmapMut;

/// Types for which any bits are a value, and whose alignment is at most a page.
pub(super) trait Plain: Copy {}

impl Plain for [f32; 16] {}

/// Mapping of `len` elements.
pub(super) struct Pages<T> {
    /// Mapped memory; `None` if there are no elements.
    map: Option<MmapMut>,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Plain> Pages<T> {
    /// Maps `len` elements with all bits zero.
    ///
    /// # Errors
    /// The system has no memory.
    pub(super) fn zeroed(len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| Error::msg("a matrix beyond all memory"))?;
        let map = match bytes {
            0 => None,
            bytes => Some(MmapMut::map_anon(bytes).map_err(Error::wrap)?),
        };
        #[cfg(target_os = "linux")]
        if let Some(map) = &map {
            // A hint: systems without huge pages refuse it, and only speed is lost.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map, len, kind: PhantomData })
    }
}

impl<T: Plain> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.map {
            None => &[],
            // SAFETY: the mapping starts at a page, holds `len` elements, and any bits are an
            // element.
            Some(map) => unsafe { std::slice::from_raw_parts(map.as_ptr().cast(), self.len) },
        }
    }
}

impl<T: Plain> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.map {
            None => &mut [],
            // SAFETY: as above, and the mapping is borrowed alone.
            Some(map) => unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), self.len) },
        }
    }
}
