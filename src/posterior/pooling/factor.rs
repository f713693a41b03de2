//! Triangular factors of symmetric matrices, packed: rows of 1, 2, … entries, one after another.

/// A lower triangular matrix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packed {
    size: usize,
    entries: Vec<f64>,
}

/// Entries of a lower triangle with so many rows.
pub(super) const fn packed_length(size: usize) -> usize {
    size * (size + 1) / 2
}

/// Where a row begins.
const fn row_start(row: usize) -> usize {
    packed_length(row)
}

impl Packed {
    /// All zeros.
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, entries: vec![0.0; packed_length(size)] }
    }

    /// The row up to and with the diagonal.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.entries[row_start(row)..row_start(row + 1)]
    }

    /// The row up to and with the diagonal.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.entries[row_start(row)..row_start(row + 1)]
    }

    /// All entries.
    pub(super) fn into_entries(self) -> Vec<f64> {
        self.entries
    }

    /// V, lower triangular, with self = Vᵀ V: a Cholesky factorisation from the last row up, whose inverse is then the lower
    /// triangular factor of the covariance. No pivot may fall below `pivot_min`: a bound that holds but for rounding.
    pub(super) fn reverse_cholesky(mut self, pivot_min: f64) -> Self {
        for row in (0..self.size).rev() {
            let (above, rest) = self.entries.split_at_mut(row_start(row));
            let current = &mut rest[..=row];
            let pivot = current[row].max(pivot_min).sqrt();
            current[row] = pivot;
            current[..row].iter_mut().for_each(|entry| *entry /= pivot);
            // What this row explains of the rows above it.
            for i in 0..row {
                let by = current[i];
                let target = &mut above[row_start(i)..row_start(i + 1)];
                target.iter_mut().zip(&*current).for_each(|(entry, other)| *entry -= by * other);
            }
        }
        self
    }

    /// Solves Vᵀ V x = b in place, for a V from [`Self::reverse_cholesky`].
    pub(super) fn solve(&self, b: &mut [f64]) {
        for row in (0..self.size).rev() {
            let entries = self.row(row);
            b[row] /= entries[row];
            let known = b[row];
            b[..row].iter_mut().zip(entries).for_each(|(value, entry)| *value -= entry * known);
        }
        for row in 0..self.size {
            let entries = self.row(row);
            let known: f64 = entries[..row].iter().zip(&*b).map(|(entry, value)| entry * value).sum();
            b[row] = (b[row] - known) / entries[row];
        }
    }

    /// The inverse of a lower triangular matrix, itself lower triangular.
    pub(super) fn inverse(&self) -> Self {
        let mut inverse = Self::zeros(self.size);
        for row in 0..self.size {
            let entries = self.row(row);
            let (above, rest) = inverse.entries.split_at_mut(row_start(row));
            let current = &mut rest[..=row];
            for (k, by) in entries[..row].iter().enumerate() {
                let known = &above[row_start(k)..row_start(k + 1)];
                current.iter_mut().zip(known).for_each(|(entry, other)| *entry -= by * other);
            }
            current[row] = 1.0;
            current.iter_mut().for_each(|entry| *entry /= entries[row]);
        }
        inverse
    }

    /// Half the logarithm of the determinant of Vᵀ V.
    pub(super) fn ln_diagonal(&self) -> f64 {
        (0..self.size).map(|row| self.row(row)[row].ln()).sum()
    }
}
