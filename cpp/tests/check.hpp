// The few lines that the C++ tests need: named cases, checks that report file and line, a summary.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lazygram/isa.hpp"
#include "lazygram/parallel.hpp"

namespace check {

struct Failure : std::exception {};

inline std::vector<std::pair<std::string, std::function<void()>>>& cases() {
  static std::vector<std::pair<std::string, std::function<void()>>> all;
  return all;
}

struct Register {
  Register(const char* name, std::function<void()> body) {
    cases().emplace_back(name, std::move(body));
  }
};

inline int run() {
  int failed = 0;
  for (auto& [name, body] : cases()) {
    try {
      body();
    } catch (const Failure&) {
      ++failed;
      std::printf("FAILED  %s\n", name.c_str());
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED  %s: unexpected exception: %s\n", name.c_str(), error.what());
    }
  }
  std::printf("%zu passed, %d failed\n", cases().size() - failed, failed);
  return failed ? 1 : 0;
}

inline lazygram::RunOptions with_threads(int threads) {
  lazygram::RunOptions options;
  options.threads = threads;
  return options;
}

// Runs body once at every instruction-set level of this machine.
inline void at_every_level(const std::function<void()>& body) {
  for (lazygram::Isa level : lazygram::isa_available()) {
    lazygram::isa_force(lazygram::isa_name(level));
    try {
      body();
    } catch (...) {
      std::printf("at level %s:\n", lazygram::isa_name(level));
      lazygram::isa_force("");
      throw;
    }
  }
  lazygram::isa_force("");
}

}  // namespace check

#define TEST(name)                                           \
  static void name();                                        \
  static const check::Register register_##name(#name, name); \
  static void name()

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      throw check::Failure();                                               \
    }                                                                       \
  } while (false)

#define CHECK_THROWS(expression, type)                                                      \
  do {                                                                                      \
    bool thrown = false;                                                                    \
    try {                                                                                   \
      expression;                                                                           \
    } catch (const type&) {                                                                 \
      thrown = true;                                                                        \
    }                                                                                       \
    if (!thrown) {                                                                          \
      std::printf("%s:%d: did not throw %s: %s\n", __FILE__, __LINE__, #type, #expression); \
      throw check::Failure();                                                               \
    }                                                                                       \
  } while (false)
