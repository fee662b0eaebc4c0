/*
 * The floor under everything that runs over UDP here: a ping-pong and a one-way flow between two spinning processes,
 * with nothing but system calls. It speaks the lines of peers/peer.ts on its standard input and output.
 *
 *   udp-floor ROLE WORKLOAD HOST BYTES COUNT WARMUP BATCH DEADLINE_SECONDS
 *
 * ping: one datagram there and back. flow: messages of BYTES, cut into segments of a full RoCE packet and sent with
 * segmentation and coalescing (UDP_SEGMENT, UDP_GRO) where the system has them; the server acknowledges bursts, and the
 * client keeps few enough under way that the receive buffer never overflows. IPv4 only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  SEGMENT = 4112, /* base transport header, 4096 bytes, checksum */
  BURST = 15 * SEGMENT,
  MAX_WINDOW = 32,
  WANTED_BUFFER = 4 << 20,
  MAX_DATAGRAM = 65507
};

static char buffer[MAX_DATAGRAM];

struct work {
  int fd;
  long bytes, count, warmup, batch;
};

static void fail(const char *what) {
  fprintf(stderr, "udp-floor: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
  exit(1);
}

static double now_micros(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void send_datagram(int fd, size_t length) {
  while (send(fd, buffer, length, 0) < 0)
    if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR && errno != ECONNREFUSED) fail("send");
}

static long receive_datagram(int fd) {
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got >= 0) return got;
    if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) fail("recv");
  }
}

static void ping_client(const struct work *w) {
  long samples = w->count / w->batch;
  double *sample = malloc(sizeof *sample * (samples ? samples : 1));
  for (long i = 0; i < w->warmup; i++) send_datagram(w->fd, w->bytes), receive_datagram(w->fd);
  for (long i = 0; i < samples; i++) {
    double start = now_micros();
    for (long k = 0; k < w->batch; k++) send_datagram(w->fd, w->bytes), receive_datagram(w->fd);
    sample[i] = (now_micros() - start) / w->batch;
  }
  if (samples == 0) fail("too few round trips for one batch");
  qsort(sample, samples, sizeof *sample, by_value);
  printf("{\"result\":{\"value\":%f,\"p99\":%f}}\n", sample[samples / 2], sample[(samples * 99 + 99) / 100 - 1]);
}

static void ping_server(const struct work *w) {
  long total = w->warmup + w->count / w->batch * w->batch;
  for (long i = 0; i < total; i++) receive_datagram(w->fd), send_datagram(w->fd, w->bytes);
}

/* How many bursts the receive buffer holds for certain; the kernel counts its own overhead too. */
static int window_of(int fd) {
  int size = 0;
  socklen_t length = sizeof size;
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length);
  int window = size / (4 * BURST);
  return window < 1 ? 1 : window > MAX_WINDOW ? MAX_WINDOW : window;
}

static int segmented = 0;

static void send_burst(int fd, long length) {
  if (segmented || length <= SEGMENT) {
    send_datagram(fd, length);
    return;
  }
  for (long at = 0; at < length; at += SEGMENT) send_datagram(fd, length - at < SEGMENT ? length - at : SEGMENT);
}

static void flow_client(const struct work *w, int window) {
  long per_message = (w->bytes + BURST - 1) / BURST;
  long total = (w->warmup + w->count) * per_message, first = w->warmup * per_message;
  long sent = 0, acknowledged = 0;
  double start = now_micros();
  while (acknowledged < total) {
    while (sent < total && sent - acknowledged < window) {
      long at = sent % per_message * BURST;
      send_burst(w->fd, w->bytes - at < BURST ? w->bytes - at : BURST);
      sent++;
    }
    receive_datagram(w->fd);
    if (++acknowledged == first) start = now_micros();
  }
  printf("{\"result\":{\"value\":%f}}\n", (double)w->count * w->bytes / (now_micros() - start));
}

static void flow_server(const struct work *w) {
  long total = (w->warmup + w->count) * w->bytes, got = 0, in_message = 0, in_burst = 0;
  while (got < total) {
    long length = receive_datagram(w->fd);
    got += length;
    in_message += length;
    in_burst += length;
    if (in_burst >= BURST || in_message >= w->bytes) {
      send_datagram(w->fd, 1);
      in_burst = 0;
    }
    if (in_message >= w->bytes) in_message = 0;
  }
}

static int open_socket(const char *host, struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), wanted = WANTED_BUFFER;
  socklen_t length = sizeof *address;
  memset(address, 0, sizeof *address);
  address->sin_family = AF_INET;
  if (fd < 0 || inet_pton(AF_INET, host, &address->sin_addr) != 1) fail("an IPv4 socket");
  if (bind(fd, (struct sockaddr *)address, length) < 0) fail("bind");
  if (getsockname(fd, (struct sockaddr *)address, &length) < 0) fail("getsockname");
#ifdef SO_RCVBUFFORCE
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) == 0) return fd;
#endif
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  return fd;
}

static void use_segmentation(int fd) {
#if defined(UDP_SEGMENT) && defined(UDP_GRO)
  int size = SEGMENT, on = 1;
  segmented = setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) == 0 &&
              setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) == 0;
#else
  (void)fd;
#endif
}

/* {"hello":{"host":"…","port":N,"window":N}}: ours goes out, the other one's is returned. */
static void introduce(int fd, const char *host, struct sockaddr_in *address, int *window) {
  char line[512], peer[64];
  int port = 0;
  printf("{\"hello\":{\"host\":\"%s\",\"port\":%d,\"window\":%d}}\n", host, ntohs(address->sin_port), *window);
  if (fgets(line, sizeof line, stdin) == NULL) exit(4);
  if (sscanf(line, "{\"hello\":{\"host\":\"%63[^\"]\",\"port\":%d,\"window\":%d}}", peer, &port, window) != 3)
    fail("the hello");
  address->sin_port = htons(port);
  if (inet_pton(AF_INET, peer, &address->sin_addr) != 1) fail("the other one's address");
  if (connect(fd, (struct sockaddr *)address, sizeof *address) < 0) fail("connect");
}

int main(int argc, char **argv) {
  if (argc != 9) {
    fprintf(stderr, "usage: udp-floor ROLE WORKLOAD HOST BYTES COUNT WARMUP BATCH DEADLINE_SECONDS\n");
    return 2;
  }
  int is_client = strcmp(argv[1], "client") == 0, is_ping = strcmp(argv[2], "ping") == 0;
  struct sockaddr_in address;
  struct work w = {open_socket(argv[3], &address), atol(argv[4]), atol(argv[5]), atol(argv[6]), atol(argv[7])};
  if (w.bytes < 1 || w.count < 1 || w.warmup < 1 || w.batch < 1) fail("the counts");
  if (is_ping && w.bytes > MAX_DATAGRAM) fail("the size");
  alarm(atoi(argv[8]));
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (!is_ping) use_segmentation(w.fd);
  /* The client's window is what the server's buffer holds. */
  int window = window_of(w.fd);
  introduce(w.fd, argv[3], &address, &window);
  printf("{\"ready\":true}\n");
  if (fgets(buffer, sizeof buffer, stdin) == NULL) return 4;
  if (is_ping && is_client) ping_client(&w);
  else if (is_ping) ping_server(&w);
  else if (is_client) flow_client(&w, window);
  else flow_server(&w);
  return 0;
}
