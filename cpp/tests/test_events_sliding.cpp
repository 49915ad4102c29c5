// Pairs that event-driven descent holds at zero: followed exactly while they flip, left alone at
// rest.
#include "event_problem.hpp"

// Few nearly orthogonal examples: descent converges to rounding in some 150 steps of 0.5, and pairs
// that slide along zero are what is left.
TEST(sliding_pairs_follow_the_dense_loop_and_come_to_rest) {
  check::at_every_level([] {
    const auto p = problem<double>(400, 30, 60, 3, 31);
    compare<double>(p, 400, [](int) { return 0.5; }, 1e-11, 30.0, 10);
    EventDescent<double> engine = p.engine(30.0);
    run(engine, p, 60, 0.5, 1);
    const std::int64_t due_before = engine.stats().due, flips_before = engine.stats().flips;
    run(engine, p, 40, 0.5, 1);
    const std::int64_t sliding = (engine.stats().flips - flips_before) / 40;
    CHECK(sliding > 20);  // flip in every other step
    CHECK(engine.stats().due - due_before >= 40 * sliding);
    run(engine, p, 300, 0.5, 1);
    const std::int64_t due_late = engine.stats().due, flips_late = engine.stats().flips;
    run(engine, p, 500, 0.5, 1);
    CHECK(engine.stats().flips - flips_late < 500);
    CHECK(engine.stats().due - due_late < 500 * sliding / 10);
    check_counts(engine);
  });
}

// A resumed engine looks at every pair that may have been looked at before: resumed after every
// step, it finds what an uninterrupted run would find that skips nothing.
template <typename T>
void check_that_skipping_changes_nothing(const Problem<T>& p, int steps, double eta) {
  EventDescent<T> skipping = p.engine(30.0);
  EventDescent<T> looking = p.engine(30.0);
  for (int k = 0; k < steps; ++k) {
    CHECK(skipping.step(residual(skipping, p.y).data(), eta, {}));
    const EventSnapshot snapshot = looking.snapshot();
    looking = p.engine(30.0, 2, &snapshot);
    CHECK(looking.step(residual(looking, p.y).data(), eta, {}));
    CHECK(looking.predictions() == skipping.predictions());
    CHECK(looking.flips_in_last_step() == skipping.flips_in_last_step());
  }
  CHECK(bits_of(looking) == bits_of(skipping));
}

TEST(skipping_looks_at_sliding_pairs_changes_nothing) {
  check_that_skipping_changes_nothing(problem<double>(300, 30, 60, 3, 32), 400, 0.5);
  check_that_skipping_changes_nothing(problem<float>(300, 70, 90, 0, 33), 300, 0.5);
  check_that_skipping_changes_nothing(problem_with_outputs<double>(200, 24, 60, 3, 34, 3, 0), 300,
                                      0.3);
  check_that_skipping_changes_nothing(problem_with_outputs<double>(200, 24, 60, 3, 35, 1, 1.5), 300,
                                      0.3);
}

TEST(sliding_pairs_depend_on_neither_threads_nor_reach_nor_level) {
  const auto p = problem<double>(500, 40, 70, 5, 36);
  EventDescent<double> reference = p.engine(kAll, 1);
  const Trace<double> expected = run(reference, p, 350, 0.5, 1);
  check::at_every_level([&] {
    EventDescent<double> engine = p.engine(5.0, 2);
    CHECK(run(engine, p, 350, 0.5, 2) == expected);
    CHECK(engine.stats().passes > 1);
  });
}

int main() { return check::run(); }
