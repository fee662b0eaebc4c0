/*
 * Runs shell commands in the guest for the lab. One TCP connection is one command: the client writes a line, reads
 * the command's output, and behind it a NUL, the exit code and a newline. When the client goes away, the command and
 * all that it started are killed. The line "exit" ends the agent, and with it the guest.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int read_line(int fd, char *line, size_t size) {
  size_t used = 0;
  while (used + 1 < size) {
    if (read(fd, line + used, 1) != 1) return -1;
    if (line[used] == '\n') break;
    used++;
  }
  line[used] = 0;
  return 0;
}

static void run_command(int fd, const char *line) {
  pid_t child = fork();
  if (child == 0) {
    setsid();
    dup2(fd, 1);
    dup2(fd, 2);
    execl("/bin/bash", "bash", "-c", line, (char *)NULL);
    _exit(127);
  }
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  struct pollfd waits[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = fd, .events = POLLRDHUP}};
  while (poll(waits, 2, -1) > 0 && waits[0].revents == 0 && waits[1].revents == 0) {
  }
  /* What the command left in the background must not hold the connection open. */
  int status = 0;
  if (waits[0].revents == 0) kill(-child, SIGKILL);
  waitpid(child, &status, 0);
  kill(-child, SIGKILL);
  char trailer[16];
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  int length = 1 + snprintf(trailer + 1, sizeof trailer - 1, "%d\n", code);
  trailer[0] = 0;
  if (write(fd, trailer, (size_t)length) < 0) _exit(1);
}

int main(int argc, char **argv) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "0"))};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("agent");
    return 1;
  }
  int stop[2];
  if (pipe2(stop, O_CLOEXEC) != 0) return 1;
  struct pollfd waits[2] = {{.fd = listener, .events = POLLIN}, {.fd = stop[0], .events = POLLIN}};
  for (;;) {
    poll(waits, 2, -1);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    if (waits[1].revents != 0) return 0;
    if (waits[0].revents == 0) continue;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) continue;
    if (fork() == 0) {
      char line[8192];
      if (read_line(fd, line, sizeof line) != 0) _exit(1);
      if (strcmp(line, "exit") == 0) {
        if (write(stop[1], "x", 1) < 0) _exit(1);
        _exit(0);
      }
      run_command(fd, line);
      _exit(0);
    }
    close(fd);
  }
}
