/*
 * A libibverbs without hardware: it has one device, `noop0`, whose fast calls do next to nothing. For two uses only: to
 * measure what a call costs between JavaScript and the device, and to see which errors come out when a verb fails. No
 * data moves; what a device does is tested on rdma_rxe.
 *
 * NOOP_FAIL_<verb>=<errno>[x<times>] in the environment makes a verb fail, e.g. NOOP_FAIL_reg_mr=12x2.
 *
 * With -DWITH_MAIN it is a program that prints what the same calls cost from C.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#undef ibv_query_port
#undef ibv_reg_mr

struct noop_cq {
	struct ibv_cq cq;
	uint64_t wr_id;
	unsigned waiting;
	uint32_t qp_num;
	/* Late ones: they are there when the program has armed the queue, found it empty and taken the event. */
	unsigned late;
	int armed;
};

struct noop_channel {
	struct ibv_comp_channel channel;
	/* The queue of the event that waits: one at a time. */
	struct noop_cq *raised;
};

/* Ids that the tests use: not through the environment, which costs time. */
enum { FAILING = 666, LATE = 777 };

static int fails(const char *verb)
{
	char name[64];
	snprintf(name, sizeof(name), "NOOP_FAIL_%s", verb);
	const char *text = getenv(name);
	int number = 0, times = -1;
	if (text == NULL || sscanf(text, "%dx%d", &number, &times) < 1 || times == 0)
		return 0;
	if (times > 0) {
		char rest[32];
		snprintf(rest, sizeof(rest), "%dx%d", number, times - 1);
		setenv(name, rest, 1);
	}
	errno = number;
	return number;
}

static void raise_event(struct noop_cq *cq)
{
	cq->armed = 0;
	((struct noop_channel *)cq->cq.channel)->raised = cq;
	eventfd_write(cq->cq.channel->fd, 1);
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct noop_cq *cq = (struct noop_cq *)qp->send_cq;
	for (; wr != NULL; wr = wr->next) {
		if (wr->wr_id == FAILING) {
			*bad = wr;
			return ENOMEM;
		}
		if (wr->send_flags & IBV_SEND_SIGNALED) {
			cq->wr_id = wr->wr_id;
			cq->qp_num = qp->qp_num;
			if (wr->wr_id != LATE) {
				cq->waiting++;
				continue;
			}
			cq->late++;
			if (cq->armed)
				raise_event(cq);
		}
	}
	return 0;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	(void)qp, (void)wr, (void)bad;
	return 0;
}

static int poll_cq(struct ibv_cq *base, int max, struct ibv_wc *wc)
{
	struct noop_cq *cq = (struct noop_cq *)base;
	int i = 0;
	for (; i < max && cq->waiting > 0; i++, cq->waiting--) {
		wc[i].wr_id = cq->wr_id;
		wc[i].status = IBV_WC_SUCCESS;
		wc[i].opcode = IBV_WC_SEND;
		wc[i].vendor_err = 0;
		wc[i].byte_len = 0;
		wc[i].qp_num = cq->qp_num;
		wc[i].wc_flags = 0;
	}
	if (i == 0 && cq->armed && cq->late > 0)
		raise_event(cq);
	return i;
}

static int req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
	(void)solicited_only;
	((struct noop_cq *)cq)->armed = 1;
	return 0;
}

static struct ibv_device device = { .name = "noop0", .node_type = IBV_NODE_CA };

struct ibv_device **ibv_get_device_list(int *count)
{
	if (fails("get_device_list"))
		return NULL;
	struct ibv_device **list = calloc(2, sizeof(*list));
	list[0] = &device;
	if (count != NULL)
		*count = 1;
	return list;
}

void ibv_free_device_list(struct ibv_device **list) { free(list); }
const char *ibv_get_device_name(struct ibv_device *dev) { return dev->name; }
int ibv_fork_init(void) { return 0; }

struct ibv_context *ibv_open_device(struct ibv_device *dev)
{
	if (fails("open_device"))
		return NULL;
	struct ibv_context *context = calloc(1, sizeof(*context));
	context->device = dev;
	context->async_fd = eventfd(0, EFD_NONBLOCK);
	context->ops.post_send = post_send;
	context->ops.post_recv = post_recv;
	context->ops.poll_cq = poll_cq;
	context->ops.req_notify_cq = req_notify_cq;
	return context;
}

int ibv_close_device(struct ibv_context *context)
{
	close(context->async_fd);
	free(context);
	return 0;
}

int ibv_get_async_event(struct ibv_context *c, struct ibv_async_event *e) { (void)c, (void)e; errno = EAGAIN; return -1; }
void ibv_ack_async_event(struct ibv_async_event *e) { (void)e; }

int ibv_query_device(struct ibv_context *c, struct ibv_device_attr *a)
{
	(void)c;
	memset(a, 0, sizeof(*a));
	a->max_qp = a->max_cq = a->max_mr = a->max_pd = a->max_mw = 100;
	a->max_qp_wr = a->max_cqe = a->max_srq_wr = 1024;
	a->max_sge = 8;
	a->max_sge_rd = 1;
	a->max_mr_size = ~0ull;
	a->max_qp_rd_atom = a->max_qp_init_rd_atom = 16;
	a->phys_port_cnt = 1;
	return fails("query_device");
}

int ibv_query_port(struct ibv_context *c, uint8_t port, struct _compat_ibv_port_attr *out)
{
	struct ibv_port_attr *a = (struct ibv_port_attr *)out;
	(void)c, (void)port;
	a->state = IBV_PORT_ACTIVE;
	a->active_mtu = IBV_MTU_1024;
	a->max_msg_sz = 1u << 30;
	a->gid_tbl_len = 4;
	a->link_layer = IBV_LINK_LAYER_ETHERNET;
	return fails("query_port");
}

ssize_t _ibv_query_gid_table(struct ibv_context *c, struct ibv_gid_entry *entries, size_t max, uint32_t flags, size_t size)
{
	static const uint8_t gid[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1 };
	(void)c, (void)flags, (void)size;
	if (max < 1)
		return -EINVAL;
	memset(entries, 0, sizeof(*entries));
	memcpy(entries->gid.raw, gid, 16);
	entries->gid_index = 3;
	entries->port_num = 1;
	entries->gid_type = IBV_GID_TYPE_ROCE_V2;
	return 1;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *c)
{
	if (fails("alloc_pd"))
		return NULL;
	struct ibv_pd *pd = calloc(1, sizeof(*pd));
	pd->context = c;
	return pd;
}
int ibv_dealloc_pd(struct ibv_pd *pd) { if (fails("dealloc_pd")) return errno; free(pd); return 0; }

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	static uint32_t key = 0x100;
	(void)access;
	if (fails("reg_mr"))
		return NULL;
	struct ibv_mr *mr = calloc(1, sizeof(*mr));
	mr->context = pd->context;
	mr->pd = pd;
	mr->addr = addr;
	mr->length = length;
	mr->lkey = mr->rkey = key++;
	return mr;
}
int ibv_dereg_mr(struct ibv_mr *mr) { if (fails("dereg_mr")) return errno; free(mr); return 0; }

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *c)
{
	struct noop_channel *made = calloc(1, sizeof(*made));
	made->channel.context = c;
	made->channel.fd = eventfd(0, 0);
	return &made->channel;
}
int ibv_destroy_comp_channel(struct ibv_comp_channel *channel) { close(channel->fd); free(channel); return 0; }
int ibv_get_cq_event(struct ibv_comp_channel *c, struct ibv_cq **out, void **context)
{
	struct noop_cq *cq = ((struct noop_channel *)c)->raised;
	eventfd_t count;
	if (eventfd_read(c->fd, &count) != 0)
		return -1;
	cq->waiting += cq->late;
	cq->late = 0;
	*out = &cq->cq;
	*context = cq->cq.cq_context;
	return 0;
}
void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int n) { (void)cq, (void)n; }

struct ibv_cq *ibv_create_cq(struct ibv_context *c, int cqe, void *context, struct ibv_comp_channel *channel, int vector)
{
	(void)vector;
	if (fails("create_cq"))
		return NULL;
	struct noop_cq *cq = calloc(1, sizeof(*cq));
	cq->cq.context = c;
	cq->cq.channel = channel;
	cq->cq.cq_context = context;
	cq->cq.cqe = cqe;
	return &cq->cq;
}
int ibv_destroy_cq(struct ibv_cq *cq) { free(cq); return 0; }

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *a) { (void)pd, (void)a; errno = EOPNOTSUPP; return NULL; }
int ibv_modify_srq(struct ibv_srq *s, struct ibv_srq_attr *a, int m) { (void)s, (void)a, (void)m; return EOPNOTSUPP; }
int ibv_destroy_srq(struct ibv_srq *s) { (void)s; return 0; }

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
	static uint32_t number = 0x11;
	if (fails("create_qp"))
		return NULL;
	if (init->cap.max_inline_data > 96) {
		errno = EINVAL;
		return NULL;
	}
	struct ibv_qp *qp = calloc(1, sizeof(*qp));
	qp->context = pd->context;
	qp->pd = pd;
	qp->qp_context = init->qp_context;
	qp->send_cq = init->send_cq;
	qp->recv_cq = init->recv_cq;
	qp->qp_type = init->qp_type;
	qp->qp_num = number++;
	return qp;
}
int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask)
{
	if (fails("modify_qp"))
		return errno;
	if (mask & IBV_QP_STATE)
		qp->state = a->qp_state;
	return 0;
}
int ibv_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask, struct ibv_qp_init_attr *init)
{
	(void)mask, (void)init;
	memset(a, 0, sizeof(*a));
	a->qp_state = qp->state;
	return 0;
}
int ibv_destroy_qp(struct ibv_qp *qp) { free(qp); return 0; }
struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *a) { (void)pd, (void)a; fails("create_ah"); return NULL; }
int ibv_destroy_ah(struct ibv_ah *ah) { (void)ah; return 0; }

#ifdef WITH_MAIN
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Posts one, sleeps until it completes, and takes it, as the stock tools do. */
static void sleeping_round(struct ibv_qp *qp, struct ibv_sge *sge)
{
	struct ibv_cq *cq = qp->send_cq;
	struct ibv_send_wr *bad, wr = { .wr_id = LATE, .sg_list = sge, .num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_wc wc[2];
	void *context;
	ibv_post_send(qp, &wr, &bad);
	ibv_poll_cq(cq, 2, wc);
	ibv_get_cq_event(cq->channel, &cq, &context);
	ibv_ack_cq_events(cq, 1);
	ibv_req_notify_cq(cq, 0);
	ibv_poll_cq(cq, 2, wc);
}

/* Rounds of one post and one poll, of a poll that finds nothing, and of sleep; the best of ten, in ns of CPU time. */
int main(void)
{
	enum { ROUNDS = 1000000, SLEEPS = 100000, REPEATS = 10 };
	struct ibv_context *c = ibv_open_device(&device);
	struct ibv_pd *pd = ibv_alloc_pd(c);
	struct ibv_cq *cq = ibv_create_cq(c, 16, NULL, ibv_create_comp_channel(c), 0);
	struct ibv_qp_init_attr init = { .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC };
	struct ibv_qp *qp = ibv_create_qp(pd, &init);
	struct ibv_sge sge = { .addr = 4096, .length = 64, .lkey = 1 };
	struct ibv_wc wc[16];
	double both = 1e18, empty = 1e18, sleeping = 1e18;
	ibv_req_notify_cq(cq, 0);
	for (int r = 0; r < REPEATS; r++) {
		double start = now();
		for (int i = 0; i < ROUNDS; i++) {
			struct ibv_send_wr *bad, wr = { .wr_id = i & 255, .sg_list = &sge, .num_sge = 1,
				.opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED };
			wr.wr.rdma.remote_addr = 4096 + i;
			wr.wr.rdma.rkey = 7;
			ibv_post_send(qp, &wr, &bad);
			ibv_poll_cq(cq, 16, wc);
		}
		double middle = now();
		for (int i = 0; i < ROUNDS; i++)
			ibv_poll_cq(cq, 16, wc);
		double end = now();
		for (int i = 0; i < SLEEPS; i++)
			sleeping_round(qp, &sge);
		double last = now();
		if (last - end < sleeping)
			sleeping = last - end;
		if (middle - start < both)
			both = middle - start;
		if (end - middle < empty)
			empty = end - middle;
	}
	printf("%f %f %f\n", both / ROUNDS, empty / ROUNDS, sleeping / SLEEPS);
	return 0;
}
#endif
