//! What several distributions need of ln Γ, in forms that keep their digits at a billion exposures: differences in which
//! large terms have been cancelled on paper.

/// ln Γ(x) − ((x − ½) ln x − x + ½ ln 2π) for x > 0: Stirling's series from 8 on (DLMF 5.11.1), below by the recurrence
/// of Γ, each step of which adds a number of the size of the result.
pub(crate) fn stirling_remainder(x: f64) -> f64 {
    const SERIES_FROM: f64 = 8.0;
    let mut steps = 0.0;
    let mut x = x;
    while x < SERIES_FROM {
        steps += (x + 0.5) * x.recip().ln_1p() - 1.0;
        x += 1.0;
    }
    let r = x.recip();
    let r2 = r * r;
    let tail = 1.0 / 1188.0 - r2 * (691.0 / 360_360.0 - r2 * (1.0 / 156.0 - r2 * (3617.0 / 122_400.0)));
    steps + r * (1.0 / 12.0 - r2 * (1.0 / 360.0 - r2 * (1.0 / 1260.0 - r2 * (1.0 / 1680.0 - r2 * tail))))
}

/// ln Γ(a + x) − ln Γ(a) − x ln a for a > 0 and x ≥ 0: what counting x adds to a prior of weight a, beyond multiplying by
/// a each time. Goes to 0 as a grows.
///
/// By Stirling's form, a h(x/a) − ½ ln(1 + x/a) + δ(a + x) − δ(a) with h(u) = (1 + u) ln(1 + u) − u.
pub(crate) fn ln_rising_excess(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let u = x / a;
    let ln_ratio = u.ln_1p();
    // For small u the terms of h cancel: its series, u²/2 − u³/6 + u⁴/12 − …
    let h = if u < 0.01 {
        u * u
            * (1.0 / 2.0 - u * (1.0 / 6.0 - u * (1.0 / 12.0 - u * (1.0 / 20.0 - u * (1.0 / 30.0 - u * (1.0 / 42.0))))))
    } else {
        (1.0 + u) * ln_ratio - u
    };
    a * h - 0.5 * ln_ratio + stirling_remainder(a + x) - stirling_remainder(a)
}

#[cfg(test)]
mod tests {
    //! statrs where it keeps its digits, recurrences where it does not.

    use proptest::prelude::*;

    use crate::posterior::special::ln_rising_excess;

    proptest! {
        #[test]
        fn agrees_with_ln_gamma(a in 0.05..300.0_f64, x in 0.0..300.0_f64) {
            use statrs::function::gamma::ln_gamma;
            let want = ln_gamma(a + x) - ln_gamma(a) - x * a.ln();
            prop_assert!((ln_rising_excess(a, x) - want).abs() < 1e-10 * (1.0 + want.abs()), "{a} {x}");
        }

        #[test]
        fn adds_up_one_count_after_another(ln_a in -5.0..30.0_f64, x in 1_u32..60) {
            let a = ln_a.exp();
            let want: f64 = (0..x).map(|i| (f64::from(i) / a).ln_1p()).sum();
            let got = ln_rising_excess(a, f64::from(x));
            prop_assert!((got - want).abs() < 1e-11 * (1.0 + want.abs()), "{a} {x}: {got} for {want}");
        }
    }
}
