//! Answers in bytes, kept until the zone changes: most questions of a cluster are the same few, asked again and again.
//! A question is known by all of its bytes but the id, so whatever an answer may depend on is in the key.

use std::collections::HashMap;

/// Questions kept at once; when there are more, all are forgotten.
const QUESTIONS: usize = 4096;
/// Longer ones are rare, and kept by nobody's wish but an attacker's.
const QUESTION_BYTES: usize = 320;
/// Answers of more records are made anew each time, so that each record comes first equally often.
const RECORDS: usize = 32;

/// All bytes of a message but its id.
type Bytes = Box<[u8]>;

#[derive(Default)]
pub struct Cache {
    /// Of the zone that the answers are from.
    generation: u64,
    /// By question: one answer for each record that may come first.
    answers: HashMap<Bytes, Vec<Option<Bytes>>>,
}

impl Cache {
    /// Writes the answer to a question into `out`; false when it is not known, or the zone is another by now. Takes turns
    /// as [`crate::message::decide`] does.
    pub fn answer(&mut self, generation: u64, query: &[u8], turn: usize, out: &mut Vec<u8>) -> bool {
        if self.generation != generation {
            self.answers.clear();
            self.generation = generation;
            return false;
        }
        let known = query.get(2..).and_then(|q| self.answers.get(q));
        let Some(bytes) = known.and_then(|v| v[turn % v.len()].as_ref()) else { return false };
        out.clear();
        out.extend_from_slice(&query[..2]);
        out.extend_from_slice(bytes);
        true
    }

    /// Keeps the answer of `records` records that was given in this turn.
    pub fn keep(&mut self, query: &[u8], turn: usize, records: usize, answer: &[u8]) {
        let (Some(question), Some(bytes)) = (query.get(2..), answer.get(2..)) else { return };
        if question.len() > QUESTION_BYTES || records > RECORDS {
            return;
        }
        if self.answers.len() >= QUESTIONS && !self.answers.contains_key(question) {
            self.answers.clear();
        }
        let records = records.max(1);
        let all = self.answers.entry(question.into()).or_default();
        if all.len() != records {
            *all = vec![None; records];
        }
        all[turn % records] = Some(bytes.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(c: &mut Cache, generation: u64, query: &[u8], turn: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        c.answer(generation, query, turn, &mut out).then_some(out)
    }

    #[test]
    fn an_answer_is_for_its_question_its_turn_and_its_zone() {
        let mut c = Cache::default();
        c.keep(b"\x01\x02one", 0, 2, b"\x01\x02first");
        c.keep(b"\x01\x02one", 1, 2, b"\x01\x02second");
        assert_eq!(ask(&mut c, 0, b"\x09\x08one", 4).as_deref(), Some(&b"\x09\x08first"[..]));
        assert_eq!(ask(&mut c, 0, b"\x09\x08one", 7).as_deref(), Some(&b"\x09\x08second"[..]));
        assert_eq!(ask(&mut c, 0, b"\x09\x08two", 0), None);
        assert_eq!(ask(&mut c, 0, b"\x09", 0), None);
        assert_eq!(ask(&mut c, 1, b"\x09\x08one", 0), None);
        assert_eq!(ask(&mut c, 0, b"\x09\x08one", 0), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut c = Cache::default();
        for i in 0..10_000_u32 {
            c.keep(&[&[0, 0][..], &i.to_be_bytes()].concat(), 0, 1, b"\0\0x");
            assert!(c.answers.len() <= QUESTIONS);
        }
        c.keep(&[1; QUESTION_BYTES + 3], 0, 1, b"\0\0x");
        c.keep(b"\0\0many", 0, RECORDS + 1, b"\0\0x");
        assert_eq!(
            (ask(&mut c, 0, &[1; QUESTION_BYTES + 3], 0), ask(&mut c, 0, b"\0\0many", 0)),
            (None, None)
        );
    }
}
