/*
 * One end of an RC connection on the kernel's RDMA device, driven by the lab over TCP. One TCP connection is one
 * process with one queue pair; a line is a command with name=value arguments, the answer is one line that begins
 * with "ok" or "err".
 *
 *   open buf=BYTES ip=4|6 mtu=BYTES [access= timeout= retry= rnr= minrnr= rd= inline=]
 *   connect gid= qpn= psn=            to RTR and RTS
 *   mr off= len= access= pd=0|1      one more region; pd 1 is not the queue pair's
 *   fill off= len= seed= | hash off= len= | peek off= | poke off= value=
 *   recv wrid= sge=MR:OFF:LEN,…       MR 0 is the whole buffer, -1 a key that does not exist
 *   send wrid= op= flags= imm= raddr= rkey= compare= swap= sge=
 *   poll max= timeout=                waits for the first completion only
 *   state | events
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"

#define MAX_MRS 64
#define MAX_SGES 16
#define PAGE 4096

static struct ibv_context *device;
static struct ibv_pd *domains[2];
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_mr *regions[MAX_MRS];
static int region_count;
static uint8_t *buffer;
static size_t buffer_size;
static struct {
  int sgid_index, mtu, access, timeout, retry, rnr, minrnr, rd;
  uint32_t psn;
} config;

static FILE *out;
static char *words[64];
static int word_count;

static const char *text_argument(const char *name) {
  size_t length = strlen(name);
  for (int i = 1; i < word_count; i++)
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
  return NULL;
}

static uint64_t number_argument(const char *name, uint64_t fallback) {
  const char *text = text_argument(name);
  return text == NULL ? fallback : (uint64_t)strtoull(text, NULL, 0);
}

static int fail(const char *what) {
  fprintf(out, "err %s: %s\n", what, strerror(errno));
  return -1;
}

/* The range that off= and len= name, or NULL with an answer given. */
static uint8_t *range_argument(size_t *length) {
  size_t offset = number_argument("off", 0);
  *length = number_argument("len", 0);
  if (offset <= buffer_size && *length <= buffer_size - offset) return buffer + offset;
  fprintf(out, "err range outside of the buffer\n");
  return NULL;
}

static int find_gid(int want_ipv4) {
  struct ibv_port_attr port;
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (ibv_query_port(device, 1, &port) != 0) return -1;
  for (int i = 0; i < port.gid_tbl_len; i++) {
    struct ibv_gid_entry entry;
    if (ibv_query_gid_ex(device, 1, i, &entry, 0) != 0 || entry.gid_type != IBV_GID_TYPE_ROCE_V2) continue;
    int is_ipv4 = memcmp(entry.gid.raw, mapped, sizeof mapped) == 0;
    int is_link_local = entry.gid.raw[0] == 0xfe && (entry.gid.raw[1] & 0xc0) == 0x80;
    if (is_ipv4 == want_ipv4 && !is_link_local) return i;
  }
  return -1;
}

static int mtu_enum(int bytes) {
  int value = IBV_MTU_256;
  while (bytes > 256) {
    bytes /= 2;
    value++;
  }
  return value;
}

static struct ibv_mr *add_region(int domain, size_t offset, size_t length, int access) {
  if (region_count == MAX_MRS) return NULL;
  struct ibv_mr *mr = ibv_reg_mr(domains[domain], buffer + offset, length, access);
  if (mr != NULL) regions[region_count++] = mr;
  return mr;
}

static int open_device(void) {
  struct ibv_device **list = ibv_get_device_list(NULL);
  if (list == NULL || list[0] == NULL) return fail("no RDMA device");
  device = ibv_open_device(list[0]);
  ibv_free_device_list(list);
  if (device == NULL) return fail("ibv_open_device");
  fcntl(device->async_fd, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 2; i++)
    if ((domains[i] = ibv_alloc_pd(device)) == NULL) return fail("ibv_alloc_pd");
  return 0;
}

static int to_init(void) {
  struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_INIT, .port_num = 1};
  attributes.qp_access_flags = (unsigned)config.access;
  return ibv_modify_qp(qp, &attributes, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

static int do_open(void) {
  const int all = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
  union ibv_gid gid;
  char gid_text[INET6_ADDRSTRLEN];
  if (device != NULL) return fprintf(out, "err open already\n"), -1;
  if (open_device() != 0) return -1;
  config.mtu = mtu_enum((int)number_argument("mtu", 1024));
  config.access = (int)number_argument("access", (uint64_t)all);
  config.timeout = (int)number_argument("timeout", 14);
  config.retry = (int)number_argument("retry", 7);
  config.rnr = (int)number_argument("rnr", 7);
  config.minrnr = (int)number_argument("minrnr", 12);
  config.rd = (int)number_argument("rd", 16);
  config.sgid_index = find_gid(number_argument("ip", 4) == 4);
  if (config.sgid_index < 0) return fail("no such GID");
  buffer_size = (number_argument("buf", 65536) + PAGE - 1) / PAGE * PAGE;
  buffer = aligned_alloc(PAGE, buffer_size);
  if (buffer == NULL) return fail("memory");
  memset(buffer, 0, buffer_size);
  if (add_region(0, 0, buffer_size, all) == NULL) return fail("ibv_reg_mr");
  cq = ibv_create_cq(device, 4096, NULL, NULL, 0);
  if (cq == NULL) return fail("ibv_create_cq");
  struct ibv_qp_init_attr init = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC};
  init.cap.max_send_wr = init.cap.max_recv_wr = 512;
  init.cap.max_send_sge = init.cap.max_recv_sge = MAX_SGES;
  init.cap.max_inline_data = (uint32_t)number_argument("inline", 0);
  qp = ibv_create_qp(domains[0], &init);
  if (qp == NULL) return fail("ibv_create_qp");
  if ((errno = to_init()) != 0) return fail("INIT");
  if (ibv_query_gid(device, 1, config.sgid_index, &gid) != 0) return fail("ibv_query_gid");
  inet_ntop(AF_INET6, gid.raw, gid_text, sizeof gid_text);
  config.psn = (uint32_t)number_argument("psn", (uint64_t)rand() & 0xffffff);
  fprintf(out, "ok qpn=%u psn=%u gid=%s addr=%llu rkey=%u\n", qp->qp_num, config.psn, gid_text,
          (unsigned long long)(uintptr_t)buffer, regions[0]->rkey);
  return 0;
}

static int do_connect(void) {
  struct ibv_qp_attr rtr = {.qp_state = IBV_QPS_RTR, .path_mtu = (enum ibv_mtu)config.mtu};
  const char *gid = text_argument("gid");
  rtr.dest_qp_num = (uint32_t)number_argument("qpn", 0);
  rtr.rq_psn = (uint32_t)number_argument("psn", 0);
  rtr.max_dest_rd_atomic = (uint8_t)config.rd;
  rtr.min_rnr_timer = (uint8_t)config.minrnr;
  rtr.ah_attr.is_global = 1;
  rtr.ah_attr.port_num = 1;
  rtr.ah_attr.grh.sgid_index = (uint8_t)config.sgid_index;
  rtr.ah_attr.grh.hop_limit = 64;
  if (gid == NULL || inet_pton(AF_INET6, gid, rtr.ah_attr.grh.dgid.raw) != 1) return fail("gid");
  errno = ibv_modify_qp(qp, &rtr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                      IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (errno != 0) return fail("RTR");
  struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS, .sq_psn = config.psn};
  rts.timeout = (uint8_t)config.timeout;
  rts.retry_cnt = (uint8_t)config.retry;
  rts.rnr_retry = (uint8_t)config.rnr;
  rts.max_rd_atomic = (uint8_t)config.rd;
  errno = ibv_modify_qp(qp, &rts, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                                      IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
  if (errno != 0) return fail("RTS");
  fprintf(out, "ok\n");
  return 0;
}

static int do_mr(void) {
  size_t length;
  uint8_t *start = range_argument(&length);
  if (start == NULL) return -1;
  int domain = number_argument("pd", 0) != 0;
  struct ibv_mr *mr = add_region(domain, (size_t)(start - buffer), length, (int)number_argument("access", 0));
  if (mr == NULL) return fail("ibv_reg_mr");
  fprintf(out, "ok mr=%d rkey=%u addr=%llu\n", region_count - 1, mr->rkey, (unsigned long long)(uintptr_t)start);
  return 0;
}

/* The same numbers as the lab's: xorshift32, four bytes a step, low byte first. */
static int do_fill(void) {
  size_t length;
  uint8_t *start = range_argument(&length);
  uint32_t x = (uint32_t)number_argument("seed", 1);
  if (start == NULL) return -1;
  for (size_t i = 0; i < length; i++) {
    if (i % 4 == 0) {
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
    }
    start[i] = (uint8_t)(x >> (8 * (i % 4)));
  }
  fprintf(out, "ok\n");
  return 0;
}

static int do_hash(void) {
  size_t length;
  uint32_t digest[8];
  uint8_t *start = range_argument(&length);
  if (start == NULL) return -1;
  sha256(start, length, digest);
  fprintf(out, "ok ");
  for (int i = 0; i < 8; i++) fprintf(out, "%08x", digest[i]);
  fprintf(out, "\n");
  return 0;
}

static int do_word(int write) {
  size_t offset = number_argument("off", 0);
  uint64_t value = number_argument("value", 0);
  if (offset + 8 > buffer_size) return fprintf(out, "err range outside of the buffer\n"), -1;
  if (write) memcpy(buffer + offset, &value, 8);
  memcpy(&value, buffer + offset, 8);
  fprintf(out, "ok %llu\n", (unsigned long long)value);
  return 0;
}

static int sge_argument(struct ibv_sge *sges) {
  const char *text = text_argument("sge");
  int count = 0;
  while (text != NULL && *text != 0 && count < MAX_SGES) {
    int mr, used = 0;
    unsigned long offset, length;
    if (sscanf(text, "%d:%lu:%lu%n", &mr, &offset, &length, &used) != 3 || mr >= region_count) break;
    sges[count].lkey = mr < 0 ? 0x7fffff01 : regions[mr]->lkey;
    sges[count].addr = (uintptr_t)buffer + offset;
    sges[count++].length = (uint32_t)length;
    text += used;
    if (*text == ',') text++;
  }
  return count;
}

static int do_recv(void) {
  struct ibv_sge sges[MAX_SGES];
  struct ibv_recv_wr request = {.wr_id = number_argument("wrid", 0), .sg_list = sges}, *bad;
  request.num_sge = sge_argument(sges);
  errno = ibv_post_recv(qp, &request, &bad);
  if (errno != 0) return fail("ibv_post_recv");
  fprintf(out, "ok\n");
  return 0;
}

static int do_send(void) {
  struct ibv_sge sges[MAX_SGES];
  struct ibv_send_wr request = {.wr_id = number_argument("wrid", 0), .sg_list = sges}, *bad;
  request.num_sge = sge_argument(sges);
  request.opcode = (enum ibv_wr_opcode)number_argument("op", IBV_WR_SEND);
  request.send_flags = (unsigned)number_argument("flags", IBV_SEND_SIGNALED);
  request.imm_data = htonl((uint32_t)number_argument("imm", 0));
  if (request.opcode == IBV_WR_SEND_WITH_INV) request.invalidate_rkey = (uint32_t)number_argument("rkey", 0);
  if (request.opcode == IBV_WR_ATOMIC_CMP_AND_SWP || request.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
    request.wr.atomic.remote_addr = number_argument("raddr", 0);
    request.wr.atomic.rkey = (uint32_t)number_argument("rkey", 0);
    request.wr.atomic.compare_add = number_argument("compare", 0);
    request.wr.atomic.swap = number_argument("swap", 0);
  } else {
    request.wr.rdma.remote_addr = number_argument("raddr", 0);
    request.wr.rdma.rkey = (uint32_t)number_argument("rkey", 0);
  }
  errno = ibv_post_send(qp, &request, &bad);
  if (errno != 0) return fail("ibv_post_send");
  fprintf(out, "ok\n");
  return 0;
}

static int64_t now_millis(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int do_poll(void) {
  struct ibv_wc completions[64];
  int max = (int)number_argument("max", 1);
  int64_t deadline = now_millis() + (int64_t)number_argument("timeout", 1000);
  int count = 0;
  if (max > 64) max = 64;
  while ((count = ibv_poll_cq(cq, max, completions)) == 0 && now_millis() < deadline) usleep(200);
  if (count < 0) return fail("ibv_poll_cq");
  fprintf(out, "ok");
  for (int i = 0; i < count; i++) {
    const struct ibv_wc *wc = &completions[i];
    fprintf(out, " %llu:%d:%d:%u:%u:%u", (unsigned long long)wc->wr_id, wc->status, wc->opcode, wc->byte_len,
            ntohl(wc->imm_data), wc->wc_flags);
  }
  fprintf(out, "\n");
  return 0;
}

static int do_state(void) {
  struct ibv_qp_attr attributes;
  struct ibv_qp_init_attr init;
  if ((errno = ibv_query_qp(qp, &attributes, IBV_QP_STATE, &init)) != 0) return fail("ibv_query_qp");
  fprintf(out, "ok %d\n", attributes.qp_state);
  return 0;
}

static int do_events(void) {
  struct ibv_async_event event;
  fprintf(out, "ok");
  while (ibv_get_async_event(device, &event) == 0) {
    char name[64];
    snprintf(name, sizeof name, "%s", ibv_event_type_str(event.event_type));
    for (char *c = name; *c != 0; c++)
      if (*c == ' ') *c = '_';
    fprintf(out, " %s", name);
    ibv_ack_async_event(&event);
  }
  fprintf(out, "\n");
  return 0;
}

static void run_line(char *line) {
  word_count = 0;
  for (char *word = strtok(line, " \r\n"); word != NULL && word_count < 64; word = strtok(NULL, " \r\n"))
    words[word_count++] = word;
  if (word_count == 0) return;
  const char *name = words[0];
  if (strcmp(name, "open") == 0) do_open();
  else if (qp == NULL) fprintf(out, "err open first\n");
  else if (strcmp(name, "connect") == 0) do_connect();
  else if (strcmp(name, "mr") == 0) do_mr();
  else if (strcmp(name, "fill") == 0) do_fill();
  else if (strcmp(name, "hash") == 0) do_hash();
  else if (strcmp(name, "peek") == 0) do_word(0);
  else if (strcmp(name, "poke") == 0) do_word(1);
  else if (strcmp(name, "recv") == 0) do_recv();
  else if (strcmp(name, "send") == 0) do_send();
  else if (strcmp(name, "poll") == 0) do_poll();
  else if (strcmp(name, "state") == 0) do_state();
  else if (strcmp(name, "events") == 0) do_events();
  else fprintf(out, "err unknown command %s\n", name);
}

static void close_all(void) {
  if (qp != NULL) ibv_destroy_qp(qp);
  if (cq != NULL) ibv_destroy_cq(cq);
  while (region_count > 0) ibv_dereg_mr(regions[--region_count]);
  for (int i = 0; i < 2; i++)
    if (domains[i] != NULL) ibv_dealloc_pd(domains[i]);
  if (device != NULL) ibv_close_device(device);
}

static void serve(int fd) {
  static char line[8192];
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  FILE *in = fdopen(dup(fd), "r");
  out = fdopen(fd, "w");
  srand((unsigned)getpid() * 2654435761u + (unsigned)time(NULL));
  while (in != NULL && out != NULL && fgets(line, sizeof line, in) != NULL) {
    run_line(line);
    fflush(out);
  }
  close_all();
}

int main(int argc, char **argv) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "0"))};
  signal(SIGCHLD, SIG_IGN);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("rxe-peer");
    return 1;
  }
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (fork() == 0) {
      close(listener);
      serve(fd);
      _exit(0);
    }
    close(fd);
  }
}
