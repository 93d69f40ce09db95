//! Which of a stream's alternative answers have finished.

/// No answer has more alternatives than this; later ones are not told apart.
const MOST: usize = 128;

/// The choices or candidates seen in a stream, each by its index.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<Answer>);

#[derive(Debug)]
struct Answer {
    index: u64,
    finished: bool,
}

impl Answers {
    /// Takes note of an answer. One that has finished stays so.
    pub(crate) fn note(&mut self, index: u64, finished: bool) {
        if let Some(answer) = self.0.iter_mut().find(|answer| answer.index == index) {
            answer.finished |= finished;
        } else if self.0.len() < MOST {
            self.0.push(Answer { index, finished });
        }
    }

    /// Whether there was an answer, and every one seen has finished.
    pub(crate) fn all_finished(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|answer| answer.finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_were_seen_must_finish() {
        let mut answers = Answers::default();
        assert!(!answers.all_finished());
        answers.note(1, false);
        answers.note(0, true);
        assert!(!answers.all_finished());
        answers.note(1, true);
        answers.note(1, false);
        assert!(answers.all_finished());
    }
}
