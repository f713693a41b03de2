//! Symmetric matrices, their factors, and the normal distribution of a vector of weights.
//!
//! The covariance is kept, not a factor of the precision: STATISTICS §2.5 has both, and a decision asks every variation
//! for a variance, which is one product of two long vectors here and a triangular solve there.

use crate::domain::Features;

/// A symmetric matrix: its lower triangle, row by row, so that half of the memory is moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetric {
    dimensions: usize,
    packed: Vec<f64>,
}

/// A normal distribution of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// Its mean.
    pub mean: Vec<f64>,
    /// Its covariance.
    pub covariance: Symmetric,
}

/// Features as they are multiplied with: read once for all products of an exposure or a decision.
#[derive(Debug, Clone)]
pub struct Entries {
    /// Empty where features are dense: then they are 0, 1 and so on.
    indices: Vec<usize>,
    values: Vec<f64>,
}

/// Features with the products that every variance needs: calculated once for all variations of a decision.
#[derive(Debug, Clone)]
pub struct Probe {
    entries: Entries,
    /// Where the products belong in a packed triangle; empty where features are dense and products fill it in order.
    positions: Vec<usize>,
    /// xᵢxⱼ, twice that off the diagonal.
    products: Vec<f64>,
}

const fn position(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

/// Σ aᵢbᵢ in eight sums, which a processor adds at once; always in the same order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((eights_a, rest_a), (eights_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in eights_a.iter().zip(eights_b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h)) + rest
}

/// What two rows of a triangle give: as rows two sums with x, as columns what is added to the product so far.
fn two_rows(product: &mut [f64], upper: &[f64], lower: &[f64], x: &[f64], [one, other]: [f64; 2]) -> [f64; 2] {
    let length = product.len();
    let (products, product_rest) = product.as_chunks_mut::<4>();
    let ((uppers, upper_rest), (lowers, lower_rest)) = (upper.as_chunks::<4>(), lower.as_chunks::<4>());
    let (xs, x_rest) = x[..length].as_chunks::<4>();
    let mut sums = [[0.0; 4]; 2];
    for (((product, upper), lower), x) in products.iter_mut().zip(uppers).zip(lowers).zip(xs) {
        for lane in 0..4 {
            sums[0][lane] += upper[lane] * x[lane];
            sums[1][lane] += lower[lane] * x[lane];
            product[lane] += upper[lane] * one + lower[lane] * other;
        }
    }
    for (((product, upper), lower), x) in product_rest.iter_mut().zip(upper_rest).zip(lower_rest).zip(x_rest) {
        sums[0][0] += upper * x;
        sums[1][0] += lower * x;
        *product += upper * one + lower * other;
    }
    sums.map(|[a, b, c, d]| (a + c) + (b + d))
}

/// Adds `scale` times a vector, which may be longer.
fn add_scaled(to: &mut [f64], from: &[f64], scale: f64) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

impl Entries {
    /// Of one visitor.
    #[must_use]
    pub fn new(features: &Features) -> Self {
        let values: Vec<f64> = features.iter().map(|(_, value)| value).collect();
        let dense = features.iter().next_back().is_none_or(|(last, _)| last + 1 == values.len());
        let indices = if dense { Vec::new() } else { features.iter().map(|(index, _)| index).collect() };
        Self { indices, values }
    }

    fn are_dense(&self) -> bool {
        self.indices.len() < self.values.len() || self.values.is_empty()
    }

    /// The product with a vector.
    ///
    /// # Panics
    /// If there is a feature for which the vector has no number.
    #[must_use]
    pub fn dot(&self, vector: &[f64]) -> f64 {
        if self.are_dense() {
            return dot(&vector[..self.values.len()], &self.values);
        }
        self.indices.iter().zip(&self.values).map(|(index, value)| vector[*index] * value).sum()
    }
}

impl Probe {
    /// For the features of one decision.
    #[must_use]
    pub fn new(features: &Features) -> Self {
        let entries = Entries::new(features);
        let (indices, values) = (&entries.indices, &entries.values);
        let count = position(values.len(), 0);
        let mut products = Vec::with_capacity(count);
        let mut positions = Vec::with_capacity(if entries.are_dense() { 0 } else { count });
        for (row, value) in values.iter().enumerate() {
            products.extend(values[..row].iter().map(|other| 2.0 * value * other));
            products.push(value * value);
        }
        for (count, row) in indices.iter().enumerate() {
            positions.extend(indices[..=count].iter().map(|column| position(*row, *column)));
        }
        Self { entries, positions, products }
    }
}

impl Gaussian {
    /// Independent weights of mean 0 with these standard deviations.
    #[must_use]
    pub fn independent(sds: &[f64]) -> Self {
        let mut covariance = Symmetric::zero(sds.len());
        sds.iter().enumerate().for_each(|(index, sd)| covariance.packed[position(index, index)] = sd * sd);
        Self { mean: vec![0.0; sds.len()], covariance }
    }

    /// The mean of x·weights.
    ///
    /// # Panics
    /// If there is a feature for which there is no weight.
    #[must_use]
    pub fn score_mean(&self, probe: &Probe) -> f64 {
        probe.entries.dot(&self.mean)
    }

    /// The variance of x·weights: not negative.
    ///
    /// # Panics
    /// If there is a feature for which there is no weight.
    #[must_use]
    pub fn score_variance(&self, probe: &Probe) -> f64 {
        let packed = &self.covariance.packed;
        let variance = if probe.positions.is_empty() {
            dot(&packed[..probe.products.len()], &probe.products)
        } else {
            probe.positions.iter().zip(&probe.products).map(|(at, product)| packed[*at] * product).sum()
        };
        variance.max(0.0)
    }

    /// Adds `amount` times a direction to the mean.
    pub fn shift(&mut self, direction: &[f64], amount: f64) {
        self.mean.iter_mut().zip(direction).for_each(|(mean, direction)| *mean += direction * amount);
    }
}

impl Symmetric {
    /// All zero.
    #[must_use]
    pub fn zero(dimensions: usize) -> Self {
        Self { dimensions, packed: vec![0.0; position(dimensions, 0)] }
    }

    /// From the lower triangle, row by row; nothing if that is of another size.
    #[must_use]
    pub fn from_packed(dimensions: usize, packed: Vec<f64>) -> Option<Self> {
        (packed.len() == position(dimensions, 0)).then_some(Self { dimensions, packed })
    }

    /// The lower triangle, row by row.
    #[must_use]
    pub fn packed(&self) -> &[f64] {
        &self.packed
    }

    /// How many rows there are.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// One number.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> f64 {
        self.packed[position(row.max(column), row.min(column))]
    }

    /// Adds to the diagonal.
    pub fn add_to_diagonal(&mut self, index: usize, amount: f64) {
        self.packed[position(index, index)] += amount;
    }

    /// Every number on the diagonal is at least this afterwards.
    pub fn floor_diagonal(&mut self, least: f64) {
        for index in 0..self.dimensions {
            let entry = &mut self.packed[position(index, index)];
            *entry = entry.max(least);
        }
    }

    /// Adds `scale` x xᵀ.
    pub fn add_outer(&mut self, entries: &Entries, scale: f64) {
        let Entries { indices, values } = entries;
        if entries.are_dense() {
            let mut rest = self.packed.as_mut_slice();
            for (row, value) in values.iter().enumerate() {
                let (entries, below) = rest.split_at_mut(row + 1);
                add_scaled(entries, values, scale * value);
                rest = below;
            }
            return;
        }
        for (count, (row, value)) in indices.iter().zip(values).enumerate() {
            let entries = &mut self.packed[position(*row, 0)..=position(*row, *row)];
            let scaled = scale * value;
            indices[..=count].iter().zip(values).for_each(|(column, other)| entries[*column] += scaled * other);
        }
    }

    /// Adds `scale` x xᵀ where x is 1 at these ascending indices and 0 elsewhere.
    pub fn add_pattern(&mut self, indices: &[u16], scale: f64) {
        for (count, row) in indices.iter().enumerate() {
            for column in &indices[..=count] {
                self.packed[position(usize::from(*row), usize::from(*column))] += scale;
            }
        }
    }

    /// Subtracts `scale` s sᵀ.
    pub fn subtract_outer(&mut self, s: &[f64], scale: f64) {
        let mut rest = self.packed.as_mut_slice();
        for (row, value) in s.iter().enumerate() {
            let (entries, below) = rest.split_at_mut(row + 1);
            add_scaled(entries, s, -scale * value);
            rest = below;
        }
    }

    /// Adds another of the same size.
    pub fn add(&mut self, other: &Self) {
        self.packed.iter_mut().zip(&other.packed).for_each(|(entry, other)| *entry += other);
    }

    /// The product with features.
    #[must_use]
    pub fn times(&self, x: &Entries) -> Vec<f64> {
        if x.are_dense() {
            return self.times_dense(&x.values);
        }
        let mut product = vec![0.0; self.dimensions];
        let mut rest = x.indices.iter().zip(&x.values).peekable();
        let mut count = 0;
        // Row by row through memory: what stands in a row, then the same as a column.
        for row in 0..self.dimensions {
            let entries = &self.packed[position(row, 0)..=position(row, row)];
            let own = rest.next_if(|(index, _)| **index == row);
            count += usize::from(own.is_some());
            let known = x.indices[..count].iter().zip(&x.values);
            product[row] += known.map(|(column, value)| entries[*column] * value).sum::<f64>();
            if let Some((_, value)) = own {
                add_scaled(&mut product[..row], entries, *value);
            }
        }
        product
    }

    /// The product with x, and zeros behind it: two rows at a time, so that each number of x and of the product is loaded
    /// once for both.
    fn times_dense(&self, x: &[f64]) -> Vec<f64> {
        let mut product = Vec::with_capacity(self.dimensions);
        let (pairs, last) = x.as_chunks::<2>();
        let mut rest = self.packed.as_slice();
        for (pair, &[one, other]) in pairs.iter().enumerate() {
            let row = 2 * pair;
            let (upper, below) = rest.split_at(row + 1);
            let (lower, below) = below.split_at(row + 2);
            let [sum, next] = two_rows(&mut product, &upper[..row], &lower[..row], x, [one, other]);
            product.push(sum + (upper[row] * one + lower[row] * other));
            product.push(next + (lower[row] * one + lower[row + 1] * other));
            rest = below;
        }
        for row in product.len()..self.dimensions {
            let (entries, below) = rest.split_at(row + 1);
            // An odd number of entries leaves the last of them.
            if let ([value], true) = (last, row + 1 == x.len()) {
                add_scaled(&mut product, entries, *value);
            }
            let known = x.len().min(row + 1);
            product.push(dot(&entries[..known], &x[..known]));
            rest = below;
        }
        product
    }

    /// The lower triangle L with L Lᵀ = this; nothing if this is not positive definite.
    #[must_use]
    pub fn cholesky(&self) -> Option<Cholesky> {
        let mut factor = self.packed.clone();
        for row in 0..self.dimensions {
            let (above, current) = factor.split_at_mut(position(row, 0));
            for column in 0..row {
                let before = &above[position(column, 0)..];
                let value = (current[column] - dot(&current[..column], &before[..column])) / before[column];
                current[column] = value;
            }
            let pivot = current[row] - dot(&current[..row], &current[..row]);
            if !(pivot.is_normal() && pivot > 0.0) {
                return None;
            }
            current[row] = pivot.sqrt();
        }
        Some(Cholesky { dimensions: self.dimensions, packed: factor })
    }
}

/// A lower triangle L, row by row, standing for L Lᵀ.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    dimensions: usize,
    packed: Vec<f64>,
}

impl Cholesky {
    /// The lower triangle, row by row.
    #[must_use]
    pub fn packed(&self) -> &[f64] {
        &self.packed
    }

    /// x with L Lᵀ x = b.
    #[must_use]
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        for row in 0..self.dimensions {
            let entries = &self.packed[position(row, 0)..];
            x[row] = (x[row] - dot(&entries[..row], &x[..row])) / entries[row];
        }
        for row in (0..self.dimensions).rev() {
            let entries = &self.packed[position(row, 0)..];
            let (before, after) = x.split_at_mut(row);
            after[0] /= entries[row];
            before.iter_mut().zip(entries).for_each(|(value, entry)| *value -= entry * after[0]);
        }
        x
    }

    /// The inverse of L Lᵀ.
    #[must_use]
    pub fn inverse(&self) -> Symmetric {
        let dimensions = self.dimensions;
        // L⁻¹ by columns: column j begins at row j.
        let columns: Vec<Vec<f64>> = (0..dimensions)
            .map(|column| {
                let mut inverse = Vec::with_capacity(dimensions - column);
                inverse.push(self.packed[position(column, column)].recip());
                for row in column + 1..dimensions {
                    let entries = &self.packed[position(row, column)..=position(row, row)];
                    let (entries, diagonal) = (&entries[..row - column], entries[row - column]);
                    inverse.push(-dot(entries, &inverse) / diagonal);
                }
                inverse
            })
            .collect();
        let mut result = Symmetric::zero(dimensions);
        for row in 0..dimensions {
            for column in 0..=row {
                result.packed[position(row, column)] = dot(&columns[row], &columns[column][row - column..]);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
