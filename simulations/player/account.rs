//! What a strategy showed, and what that was worth.

use crate::simulations::world::{Scene, World};

/// Numbers by segment and variation.
#[derive(Debug, Clone)]
pub(super) struct Grid<T> {
    variations: usize,
    numbers: Vec<T>,
}

impl<T: Copy + Default + std::ops::AddAssign> Grid<T> {
    pub(super) fn new(world: &World) -> Self {
        let variations = world.variations.len();
        Self { variations, numbers: vec![T::default(); world.segments_count() * variations] }
    }

    pub(super) fn add(&mut self, segment: usize, variation: usize, number: T) {
        self.numbers[segment * self.variations + variation] += number;
    }

    pub(super) fn segment(&self, segment: usize) -> &[T] {
        &self.numbers[segment * self.variations..(segment + 1) * self.variations]
    }
}

/// Expected values of what was shown: no luck of single visitors is in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) reward: f64,
    pub(super) regret: f64,
    pub(super) spend: f64,
}

impl Account {
    pub(super) fn show(&mut self, world: &World, scene: &Scene<'_>, variation: usize) {
        self.reward += scene.values[variation];
        self.regret += scene.values[scene.best] - scene.values[variation];
        self.spend += world.spend(variation, scene.rates[variation]);
    }
}
