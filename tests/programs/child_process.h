#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "check.h"

extern char** environ;

// This program run again with one argument. The child speaks to the parent through its standard output, one line at a
// time, and hears it through its standard input; its standard error is collected. Used by one thread.
class ChildProcess {
 public:
  explicit ChildProcess(const std::string& argument) {
    int in[2], out[2], err[2];
    check::True("pipes can be made",
                pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    std::string name = "child", text = argument;
    char* arguments[] = {name.data(), text.data(), nullptr};
    check::Equal("posix_spawn", posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    to_child_ = fdopen(in[1], "w");
    from_child_ = fdopen(out[0], "r");
    errors_ = fdopen(err[0], "r");
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() {
    std::fclose(to_child_);
    std::fclose(from_child_);
    std::fclose(errors_);
  }

  void Say(const std::string& line) {
    std::fprintf(to_child_, "%s\n", line.c_str());
    std::fflush(to_child_);
  }

  // The next line without its end; empty when the child has closed its output.
  std::string Hear() { return ReadLine(from_child_); }

  struct End {
    int status;          // the exit status, or 128 + the signal that ended the child
    std::string output;  // what was not heard
    std::string errors;
  };
  End Wait() {
    End end;
    end.output = ReadAll(from_child_);
    end.errors = ReadAll(errors_);
    int status = 0;
    check::Equal("waitpid", waitpid(pid_, &status, 0), pid_);
    end.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return end;
  }

  // The child's side: a line from the parent.
  static std::string HearParent() { return ReadLine(stdin); }
  static void SayToParent(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

 private:
  static std::string ReadLine(FILE* file) {
    std::string line;
    for (int c = std::fgetc(file); c != EOF && c != '\n'; c = std::fgetc(file)) line += static_cast<char>(c);
    return line;
  }
  static std::string ReadAll(FILE* file) {
    std::string text;
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
    return text;
  }

  pid_t pid_ = -1;
  FILE* to_child_ = nullptr;
  FILE* from_child_ = nullptr;
  FILE* errors_ = nullptr;
};
