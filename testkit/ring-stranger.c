/*
 * A process that meets a port that offers rings (native/ring_hub.cc), with the manners that its mode says:
 *
 *   ring-stranger MODE PORT [SEED]      for the port of 127.0.0.1 at PORT
 *
 * It prints one word a line, and ends when its standard input does:
 *   welcome | refused | nobody          what became of its hello
 *   unanswered | kept                   nothing became of it for some seconds
 *   woke | awake                        'writer': whether the port slept when the packet was written
 *   silent | heard                      'squatter': whether who connected said something
 *   kept                                'sleeper': who connected has said hello, and nobody listens
 *   at N                                the UDP port that it has bound, first of all
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 4096, RING = 2 * 1024 * 1024, WRITTEN = 0, SLEEPING = 32 };

struct address {
  uint32_t words[4];
  uint16_t port;
};

struct hello {
  char magic[12];
  uint32_t ring_bytes;
  struct address source;
  struct address destination;
  uint8_t word[16];
};

struct proof {
  char magic[16];
  uint8_t word[16];
  uint8_t answer[16];
};

struct welcome {
  char magic[12];
  uint8_t answer[16];
};

static const char *mode;

static int is(const char *name) { return strcmp(mode, name) == 0; }

static void say(const char *word) {
  puts(word);
  fflush(stdout);
}

static struct address address_of(const char *ip, int port) {
  struct address address;
  memset(&address, 0, sizeof(address));
  address.words[2] = 0xffff;
  address.words[3] = ntohl(inet_addr(ip));
  address.port = (uint16_t)port;
  return address;
}

static int bind_udp(const char *ip) {
  const int one = 1;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(ip)};
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (is("elsewhere")) setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
  if (bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0) perror("bind"), exit(1);
  return fd;
}

/* By UDP, from the socket that is bound. */
static void send_proof(int udp, const struct hello *hello, const uint8_t *answer) {
  struct sockaddr_in there = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(hello->destination.words[3]),
                              .sin_port = htons(hello->destination.port)};
  struct proof proof;
  memcpy(proof.magic, "\xffqp-ring-proof\n", sizeof(proof.magic));
  memcpy(proof.word, hello->word, sizeof(proof.word));
  memcpy(proof.answer, answer, sizeof(proof.answer));
  if (is("guesser")) proof.word[15] ^= 1;
  sendto(udp, &proof, sizeof(proof), 0, (struct sockaddr *)&there, sizeof(there));
}

static int port_of(int fd) {
  struct sockaddr_in name;
  socklen_t length = sizeof(name);
  getsockname(fd, (struct sockaddr *)&name, &length);
  return ntohs(name.sin_port);
}

static socklen_t name_of(struct address address, unsigned user, struct sockaddr_un *name) {
  memset(name, 0, sizeof(*name));
  name->sun_family = AF_UNIX;
  const int length = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "queuepair-ring-%u-%08x%08x%08x%08x-%u", user,
                              address.words[0], address.words[1], address.words[2], address.words[3], address.port);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int create_ring(void) {
  if (is("file")) {
    const int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    if (ftruncate(fd, WORDS + RING) != 0) exit(1);
    return fd;
  }
  const int fd = memfd_create("stranger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ftruncate(fd, is("short") ? WORDS : WORDS + RING) != 0) exit(1);
  if (!is("unsealed")) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

static void send_hello(int connection, struct hello *hello, const int *passed, size_t count) {
  char control[CMSG_SPACE(2 * sizeof(int))] = {0};
  const size_t length = is("half") ? sizeof(*hello) / 2 : sizeof(*hello);
  struct iovec piece = {hello, length};
  struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), passed, count * sizeof(int));
  }
  sendmsg(connection, &header, MSG_NOSIGNAL);
}

/* Packets of 100 bytes that begin with `mark`. Returns whether the reader slept. */
static int write_packet(volatile uint8_t *ring, int connection, uint8_t mark) {
  static uint32_t written;
  volatile uint32_t *const words = (volatile uint32_t *)ring;
  uint8_t entry[112] = {100, 0, 0, 64};
  memset(entry + 8, mark, 100);
  for (size_t i = 0; i < sizeof(entry); i++) ring[WORDS + (written + i) % RING] = entry[i];
  written += sizeof(entry);
  __atomic_store_n(&words[WRITTEN], written, __ATOMIC_SEQ_CST);
  if (__atomic_exchange_n(&words[SLEEPING], 0, __ATOMIC_SEQ_CST) == 0) return 0;
  send(connection, "w", 1, MSG_NOSIGNAL);
  return 1;
}

/* Whatever a process can do to a ring, for a while. */
static void scribble(volatile uint8_t *ring, int connection, unsigned seed) {
  srandom(seed);
  for (int i = 0; i < 200000; i++) {
    const uint32_t value = (uint32_t)random();
    volatile uint32_t *const words = (volatile uint32_t *)ring;
    switch (random() % 6) {
      case 0:
        words[WRITTEN] = value;
        break;
      case 1:
        words[WRITTEN] += (value % 300) * 16;
        break;
      case 2:
        words[WRITTEN] += value % 64;
        break;
      case 3:
        *(volatile uint16_t *)(ring + WORDS + (value % RING & ~15u)) = (uint16_t)(value >> 16);
        break;
      case 4:
        words[SLEEPING] = value % 2;
        break;
      default:
        *(volatile uint16_t *)(ring + WORDS + (words[WRITTEN] % RING & ~15u)) = (uint16_t)(value % 4300);
    }
    if (i % 64 == 0) send(connection, "w", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

/* Wakes a port from several processes at once, for two to three seconds, as fast as they can. */
static void chatter(int connection) {
  for (int i = 0; i < 4; i++) {
    if (fork() != 0) continue;
    const time_t end = time(NULL) + 3;
    while (time(NULL) < end && send(connection, "w", 1, MSG_NOSIGNAL) == 1) continue;
    _exit(0);
  }
  while (wait(NULL) > 0) continue;
}

static void wait_for_end(void) {
  char byte;
  while (read(0, &byte, 1) > 0) continue;
}

/* A port that neither answers nor goes shall be seen, and not waited for. */
static void be_patient(int connection) {
  const struct timeval patience = {.tv_sec = 5};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Has the name that a port of ours would have, as another user or not. */
static void squat(int udp) {
  struct sockaddr_un name;
  const socklen_t length = name_of(address_of("127.0.0.1", port_of(udp)), geteuid(), &name);
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (is("squatter") && seteuid(12345) != 0) exit(1);
  if (bind(listener, (struct sockaddr *)&name, length) != 0 || listen(listener, 4) != 0) perror("squat"), exit(1);
  printf("at %d\n", port_of(udp));
  fflush(stdout);
  if (is("sleeper")) {
    struct pollfd listening = {.fd = listener, .events = POLLIN};
    poll(&listening, 1, -1);
    say("kept");
    return;
  }
  const int connection = accept(listener, NULL, NULL);
  char byte;
  say(recv(connection, &byte, 1, 0) > 0 ? "heard" : "silent");
  if (!is("pretender")) return;
  struct welcome welcome = {.magic = "qp-ring-ok\n"};
  send(connection, &welcome, sizeof(welcome), MSG_NOSIGNAL);
  be_patient(connection);
  const ssize_t heard = recv(connection, &byte, 1, 0);
  say(heard > 0 ? "believed" : heard == 0 ? "refused" : "kept");
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  mode = arguments[1];
  const int udp = bind_udp(is("elsewhere") ? "192.0.2.1" : "127.0.0.1");
  if (is("squatter") || is("pretender") || is("sleeper")) {
    squat(udp);
    wait_for_end();
    return 0;
  }
  const unsigned user = geteuid();
  if (is("other-user") && seteuid(12345) != 0) return 1;
  printf("at %d\n", port_of(udp));
  struct hello hello;
  memset(&hello, 0, sizeof(hello));
  memcpy(hello.magic, is("stranger-words") ? "no-ring-2\r\n" : "qp-ring-2\r\n", 12);
  hello.ring_bytes = RING;
  hello.source = address_of(is("elsewhere") ? "192.0.2.1" : "127.0.0.1", port_of(udp) + (is("liar") ? 1 : 0));
  hello.destination = address_of("127.0.0.1", atoi(arguments[2]));
  struct sockaddr_un name;
  const socklen_t length = name_of(hello.destination, user, &name);
  if (is("lost")) hello.destination.port++;
  const int connection = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (connect(connection, (struct sockaddr *)&name, length) != 0) {
    say("nobody");
    return 0;
  }
  const int ring = create_ring();
  const int passed[] = {ring, udp};
  uint8_t answer[16];
  struct welcome welcome;
  if (getrandom(hello.word, sizeof(hello.word), 0) < 0 || getrandom(answer, sizeof(answer), 0) < 0) return 1;
  send_hello(connection, &hello, passed, is("empty") ? 0 : is("generous") ? 2 : 1);
  const int is_hello = !is("empty") && !is("generous") && !is("half") && !is("stranger-words") && !is("other-user");
  if (is_hello && !is("mute")) send_proof(udp, &hello, answer);
  if (is("mute") || is("guesser")) say("waits");
  be_patient(connection);
  const ssize_t answered = recv(connection, &welcome, sizeof(welcome), 0);
  if (answered <= 0) {
    say(answered < 0 && errno == EAGAIN ? "unanswered" : "refused");
    return 0;
  }
  say(memcmp(welcome.answer, answer, sizeof(answer)) == 0 ? "welcome" : "nonsense");
  uint8_t *const bytes = mmap(NULL, WORDS + RING, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
  if (is("writer")) {
    for (int i = 0; i < 20000 && ((volatile uint32_t *)bytes)[SLEEPING] == 0; i++) usleep(1000);
    say(write_packet(bytes, connection, 7) ? "woke" : "awake");
  }
  if (is("chatterer")) {
    chatter(connection);
    say("done");
  }
  if (is("scribbler")) {
    scribble(bytes, connection, count > 3 ? (unsigned)atoi(arguments[3]) : 1);
    say("done");
  }
  wait_for_end();
  if (is("writer")) write_packet(bytes, connection, 8);
  return 0;
}
