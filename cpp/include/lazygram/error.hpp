// Typed exceptions of the core; the bindings turn them into Python's.
#pragma once

#include <stdexcept>
#include <string>

namespace lazygram {

// An argument is wrong; the message names it. Python: ValueError.
struct ArgumentError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// The caller's poll function asked to stop (Ctrl-C). Python: KeyboardInterrupt.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

inline void require(bool condition, const std::string& message) {
  if (!condition) throw ArgumentError(message);
}

}  // namespace lazygram
