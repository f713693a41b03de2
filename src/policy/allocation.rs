//! Stub until the math branch lands.
pub fn project(shares: &[f64], eligible: &[bool], floor: f64) -> Option<Vec<f64>> {
    let k = eligible.iter().filter(|e| **e).count();
    if k == 0 {
        return None;
    }
    let sum: f64 = shares.iter().zip(eligible).filter(|(_, e)| **e).map(|(s, _)| s).sum();
    Some(
        shares
            .iter()
            .zip(eligible)
            .map(|(s, e)| {
                if *e {
                    let p = if sum < 1e-9 { 1.0 / k as f64 } else { s / sum };
                    (1.0 - k as f64 * floor) * p + floor
                } else {
                    0.0
                }
            })
            .collect(),
    )
}
pub fn draw(p: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    for (i, p) in p.iter().enumerate() {
        sum += p;
        if u < sum {
            return i;
        }
    }
    p.iter().rposition(|p| *p > 0.0).unwrap_or(0)
}
