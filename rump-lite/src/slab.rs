//! Numbered objects: a number stands for an object until that is removed, and is given
//! again to a later one.

use alloc::vec::Vec;

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, object: T) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.slots[number] = Some(object);
                number
            }
            None => {
                self.slots.push(Some(object));
                self.slots.len() - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, number: usize) -> Option<T> {
        let object = self.slots.get_mut(number)?.take()?;
        self.free.push(number);
        Some(object)
    }

    /// Drops one where it is: it may be too large for the stack of a kernel.
    pub(crate) fn discard(&mut self, number: usize) {
        if let Some(slot) = self.slots.get_mut(number).filter(|slot| slot.is_some()) {
            *slot = None;
            self.free.push(number);
        }
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.slots.get(number)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.slots.get_mut(number)?.as_mut()
    }

    /// All of them, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(number, slot)| Some((number, slot.as_mut()?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T> core::ops::Index<usize> for Slab<T> {
    type Output = T;

    /// # Panics
    /// If there is no such object. Whoever keeps a number keeps its object alive.
    #[inline]
    fn index(&self, number: usize) -> &T {
        self.get(number).expect("a number stands for an object")
    }
}

impl<T> core::ops::IndexMut<usize> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).expect("a number stands for an object")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_again() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!((slab[a], slab[b], slab.len()), ('a', 'b', 2));
        assert_eq!(
            (slab.remove(a), slab.remove(a), slab.len()),
            (Some('a'), None, 1)
        );
        assert_eq!(slab.insert('c'), a);
        slab.discard(a);
        slab.discard(a);
        slab.discard(9);
        assert_eq!((slab.len(), slab.insert('d')), (1, a));
        assert!(slab.get(7).is_none() && slab.get_mut(b).is_some());
    }
}
