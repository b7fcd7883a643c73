//! The random stream: all randomness of a plugin comes from the one it is handed, and draws advance `counter` alone, so
//! that a study can be resumed. The numbers are those that weft/abi.h draws in C. Block function: Philox4x32-10 (Salmon
//! et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
#![allow(dead_code)]

use crate::abi::weft_rng;

fn philox4x32(mut counter: [u32; 4], key: u64) -> [u32; 4] {
    let (mut low, mut high) = (key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        let a = 0xD251_1F53_u64 * u64::from(counter[0]);
        let b = 0xCD9E_8D57_u64 * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ low, b as u32, (a >> 32) as u32 ^ counter[3] ^ high, a as u32];
        low = low.wrapping_add(0x9E37_79B9);
        high = high.wrapping_add(0xBB67_AE85);
    }
    counter
}

impl weft_rng {
    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        let counter = [self.counter as u32, (self.counter >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        let block = philox4x32(counter, self.key);
        self.counter = self.counter.wrapping_add(1);
        (u64::from(block[1]) << 32) | u64::from(block[0])
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform over 0 .. count-1, without bias; count > 0.
    pub fn below(&mut self, count: u64) -> u64 {
        let limit = u64::MAX - u64::MAX % count;
        loop {
            let draw = self.next();
            if draw < limit {
                return draw % count;
            }
        }
    }

    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// An independent stream, the same whenever it is derived.
    pub fn derive(&self, name: &str, index: u64) -> weft_rng {
        let parent = self.stream.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x632B_E59B_D9B4_E019);
        let start = parent ^ 0xcbf2_9ce4_8422_2325;
        let hash = name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let stream = (hash ^ index).wrapping_mul(0xD6E8_FEB8_6659_FD93).wrapping_add(index);
        weft_rng { key: self.key, stream, counter: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a over the decimal digits of a thousand draws.
    fn hash(mut draw: impl FnMut(u64) -> u64) -> u64 {
        (0..1000).flat_map(|i| draw(i).to_string().into_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    #[test]
    fn the_numbers_are_those_of_every_other_language() {
        let state = weft_rng { key: 7, stream: 3, counter: 5 };
        let (mut a, mut b, mut c) = (state, state, state);
        assert_eq!(hash(|_| a.next()), 0x4e8d_9cc1_2699_a8c8);
        assert_eq!(hash(|_| b.uniform().to_bits()), 0x30ef_7dd5_5a5b_246c);
        assert_eq!(hash(|i| c.below(if i % 3 == 0 { (3 << 62) - i } else { i + 1 })), 0x72fb_3cfc_7ae0_dc85);
        assert_eq!(hash(|i| state.derive("trial", i).next()), 0x1e88_0d45_0588_8ab1);
        assert_eq!((c.key, c.stream, c.counter), (7, 3, 0x479));
    }
}
