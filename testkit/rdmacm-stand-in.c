/*
 * A librdmacm without a kernel: the ids of a process meet each other. For tests of what is built on the library: layouts,
 * the order of events, and which errors come out. What a kernel does is tested on rdma_rxe.
 *
 * Addresses: 192.0.2.1 and fd00::1 are the device noop0's. 192.0.2.3 is behind noop1, nobody answers for 192.0.2.9, there
 * is no route to 203.0.113.0/24, 127.0.0.1 has an address and no route. Ports from 9901 on: see connect_special.
 *
 * STAND_IN_FAIL_<function>=<errno> in the environment makes a function fail. A misuse (an id destroyed while an event of
 * it is not acknowledged, a channel with ids) ends the process.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum state { IDLE, LISTENING, ASKING, REQUESTED, ACCEPTED, ANSWERED, CONNECTED, OVER };

struct channel {
	struct rdma_event_channel channel;
	struct event *first;
	int ids;
};

struct id {
	struct rdma_cm_id id;
	struct id *next, *peer, *listener;
	enum state state;
	int unacked, has_asked_to_end, tos, ack_timeout, afonly;
	struct rdma_conn_param param;
};

struct event {
	struct rdma_cm_event event;
	struct event *next;
	/* The one that counts it. */
	struct id *of;
	uint8_t data[256];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t acked = PTHREAD_COND_INITIALIZER;
static struct id *ids;
static struct ibv_device devices[] = { { .name = "noop0" }, { .name = "noop1" } };
static struct ibv_context contexts[] = { { .device = &devices[0] }, { .device = &devices[1] } };
static uint16_t next_port = 40000;

static void misuse(const char *what)
{
	fprintf(stderr, "rdmacm stand-in: %s\n", what);
	_exit(99);
}

static int fails(const char *function)
{
	char name[64];
	snprintf(name, sizeof(name), "STAND_IN_FAIL_%s", function);
	const char *text = getenv(name);
	if (text == NULL)
		return 0;
	errno = atoi(text);
	return -1;
}

static int refuse(int number)
{
	errno = number;
	return -1;
}

static struct event *push(struct id *to, enum rdma_cm_event_type type, int status, const void *data, size_t given, size_t size)
{
	struct event *event = calloc(1, sizeof(*event));
	event->of = to;
	event->event.id = &to->id;
	event->event.event = type;
	event->event.status = status;
	if (given > 0)
		memcpy(event->data, data, given);
	if (to->id.qp_type == IBV_QPT_UD) {
		event->event.param.ud.private_data = size > 0 ? event->data : NULL;
		event->event.param.ud.private_data_len = size;
	} else {
		event->event.param.conn.private_data = size > 0 ? event->data : NULL;
		event->event.param.conn.private_data_len = size;
	}
	struct channel *channel = (struct channel *)to->id.channel;
	struct event **last = &channel->first;
	while (*last != NULL)
		last = &(*last)->next;
	*last = event;
	uint64_t one = 1;
	if (write(channel->channel.fd, &one, sizeof(one)) < 0)
		misuse("eventfd");
	return event;
}

static void put_parameters(struct event *event, const struct rdma_conn_param *from)
{
	struct rdma_conn_param *to = &event->event.param.conn;
	to->responder_resources = from->initiator_depth;
	to->initiator_depth = from->responder_resources;
	to->flow_control = from->flow_control;
	to->retry_count = from->retry_count;
	to->rnr_retry_count = from->rnr_retry_count;
	to->srq = from->srq;
	to->qp_num = from->qp_num;
}

struct rdma_event_channel *rdma_create_event_channel(void)
{
	if (fails("create_event_channel"))
		return NULL;
	struct channel *channel = calloc(1, sizeof(*channel));
	channel->channel.fd = eventfd(0, EFD_SEMAPHORE);
	return &channel->channel;
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	if (((struct channel *)channel)->ids > 0)
		misuse("a channel with ids was destroyed");
	close(channel->fd);
	free(channel);
}

int rdma_get_cm_event(struct rdma_event_channel *base, struct rdma_cm_event **out)
{
	struct channel *channel = (struct channel *)base;
	uint64_t one;
	/* Blocks unless the descriptor is non-blocking, as the library does. */
	if (read(base->fd, &one, sizeof(one)) < 0)
		return -1;
	pthread_mutex_lock(&mutex);
	struct event *event = channel->first;
	channel->first = event->next;
	event->of->unacked++;
	pthread_mutex_unlock(&mutex);
	*out = &event->event;
	return 0;
}

int rdma_ack_cm_event(struct rdma_cm_event *base)
{
	struct event *event = (struct event *)base;
	pthread_mutex_lock(&mutex);
	if (--event->of->unacked < 0)
		misuse("an event was acknowledged twice");
	pthread_cond_broadcast(&acked);
	pthread_mutex_unlock(&mutex);
	free(event);
	return 0;
}

static struct id *new_id(struct rdma_event_channel *channel, void *context, enum rdma_port_space ps)
{
	struct id *id = calloc(1, sizeof(*id));
	id->id.channel = channel;
	id->id.context = context;
	id->id.ps = ps;
	id->id.qp_type = ps == RDMA_PS_UDP ? IBV_QPT_UD : IBV_QPT_RC;
	id->ack_timeout = 18;
	id->next = ids;
	ids = id;
	((struct channel *)channel)->ids++;
	return id;
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **out, void *context, enum rdma_port_space ps)
{
	if (fails("create_id"))
		return -1;
	pthread_mutex_lock(&mutex);
	*out = &new_id(channel, context, ps)->id;
	pthread_mutex_unlock(&mutex);
	return 0;
}

static void forget(struct id *id);

/* What nobody has read of it. */
static void drop_events(struct id *id)
{
	struct channel *channel = (struct channel *)id->id.channel;
	for (struct event **at = &channel->first; *at != NULL;) {
		struct event *event = *at;
		if (event->of != id) {
			at = &event->next;
			continue;
		}
		*at = event->next;
		uint64_t one;
		if (read(channel->channel.fd, &one, sizeof(one)) < 0)
			misuse("eventfd");
		if (event->event.event == RDMA_CM_EVENT_CONNECT_REQUEST)
			forget((struct id *)event->event.id);
		free(event);
	}
}

static void forget(struct id *id)
{
	struct id *peer = id->peer;
	if (peer != NULL) {
		peer->peer = NULL;
		if (id->state == REQUESTED && id->id.qp_type == IBV_QPT_UD)
			push(peer, RDMA_CM_EVENT_UNREACHABLE, 2, NULL, 0, 136);
		else if (id->state == REQUESTED || id->state == ACCEPTED)
			push(peer, RDMA_CM_EVENT_REJECTED, 28, NULL, 0, 148);
		else if (id->state == ANSWERED)
			push(peer, RDMA_CM_EVENT_REJECTED, 28, NULL, 0, 148);
		else if (id->state == CONNECTED && peer->state == CONNECTED)
			push(peer, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0, 0);
	}
	drop_events(id);
	for (struct id **at = &ids; *at != NULL; at = &(*at)->next) {
		if (*at != id)
			continue;
		*at = id->next;
		break;
	}
	((struct channel *)id->id.channel)->ids--;
	free(id);
}

int rdma_destroy_id(struct rdma_cm_id *base)
{
	struct id *id = (struct id *)base;
	struct timespec limit;
	if (fails("destroy_id"))
		return -1;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 5;
	pthread_mutex_lock(&mutex);
	while (id->unacked > 0)
		if (pthread_cond_timedwait(&acked, &mutex, &limit) != 0)
			misuse("an id was destroyed while an event of it was not acknowledged");
	forget(id);
	pthread_mutex_unlock(&mutex);
	return 0;
}

int rdma_set_option(struct rdma_cm_id *base, int level, int option, void *value, size_t length)
{
	struct id *id = (struct id *)base;
	if (fails("set_option"))
		return -1;
	if (level != RDMA_OPTION_ID)
		return refuse(ENOSYS);
	if (option == RDMA_OPTION_ID_TOS && length == 1)
		id->tos = *(uint8_t *)value;
	else if (option == RDMA_OPTION_ID_ACK_TIMEOUT && length == 1)
		id->ack_timeout = *(uint8_t *)value;
	else if (option == RDMA_OPTION_ID_AFONLY && length == sizeof(int))
		id->afonly = *(int *)value;
	else
		return refuse(EINVAL);
	return 0;
}

static uint16_t port_of(const struct sockaddr *address)
{
	return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static const char *text_of(const struct sockaddr *address)
{
	static __thread char text[INET6_ADDRSTRLEN];
	const void *bytes = address->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
							   : &((const struct sockaddr_in6 *)address)->sin6_addr;
	return inet_ntop(address->sa_family, bytes, text, sizeof(text));
}

static int is(const struct sockaddr *address, const char *text) { return strcmp(text_of(address), text) == 0; }

static size_t size_of(const struct sockaddr *address)
{
	return address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

int rdma_bind_addr(struct rdma_cm_id *base, struct sockaddr *address)
{
	struct id *id = (struct id *)base;
	if (fails("bind_addr"))
		return -1;
	int is_any = is(address, "::") || is(address, "0.0.0.0");
	if (!is_any && !is(address, "192.0.2.1") && !is(address, "192.0.2.2") && !is(address, "fd00::1"))
		return refuse(EADDRNOTAVAIL);
	uint16_t port = port_of(address);
	pthread_mutex_lock(&mutex);
	for (struct id *other = ids; other != NULL; other = other->next)
		if (port != 0 && other->state == LISTENING && other->id.ps == id->id.ps &&
		    port_of(&other->id.route.addr.src_addr) == port) {
			/* The kernel's word where one of the two is for all addresses. */
			int number = is_any || is(&other->id.route.addr.src_addr, "::") ? EADDRNOTAVAIL : EADDRINUSE;
			pthread_mutex_unlock(&mutex);
			return refuse(number);
		}
	memcpy(&id->id.route.addr.src_storage, address, size_of(address));
	if (port == 0)
		id->id.route.addr.src_sin.sin_port = htons(next_port++);
	if (!is_any)
		id->id.verbs = &contexts[is(address, "192.0.2.2") ? 1 : 0];
	pthread_mutex_unlock(&mutex);
	return 0;
}

int rdma_listen(struct rdma_cm_id *base, int backlog)
{
	(void)backlog;
	if (fails("listen"))
		return -1;
	((struct id *)base)->state = LISTENING;
	return 0;
}

int rdma_resolve_addr(struct rdma_cm_id *base, struct sockaddr *from, struct sockaddr *to, int timeout)
{
	struct id *id = (struct id *)base;
	(void)timeout;
	if (fails("resolve_addr"))
		return -1;
	if (from != NULL && !is(from, "192.0.2.1") && !is(from, "fd00::1"))
		return refuse(EADDRNOTAVAIL);
	if (strncmp(text_of(to), "203.0.113.", 10) == 0)
		return refuse(ENETUNREACH);
	pthread_mutex_lock(&mutex);
	memcpy(&id->id.route.addr.dst_storage, to, size_of(to));
	if (is(to, "192.0.2.9")) {
		push(id, RDMA_CM_EVENT_ADDR_ERROR, -ETIMEDOUT, NULL, 0, 0);
	} else {
		id->id.verbs = &contexts[is(to, "192.0.2.3") ? 1 : 0];
		id->id.port_num = 1;
		struct sockaddr_in *local = &id->id.route.addr.src_sin;
		memcpy(&id->id.route.addr.src_storage, to, size_of(to));
		if (to->sa_family == AF_INET)
			inet_pton(AF_INET, "192.0.2.1", &local->sin_addr);
		local->sin_port = htons(next_port++);
		push(id, RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0, 0);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

int rdma_resolve_route(struct rdma_cm_id *base, int timeout)
{
	struct id *id = (struct id *)base;
	(void)timeout;
	if (fails("resolve_route"))
		return -1;
	if (is(&id->id.route.addr.dst_addr, "127.0.0.1"))
		return refuse(ENODEV);
	pthread_mutex_lock(&mutex);
	push(id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0, 0);
	pthread_mutex_unlock(&mutex);
	return 0;
}

/* Ports at which something odd happens. */
static int connect_special(struct id *id, uint16_t port)
{
	switch (port) {
	case 9901:
		push(id, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT, NULL, 0, 0);
		return 1;
	case 9902: /* Silence. */
		return 1;
	case 9903:
		push(id, RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0, 0);
		return 1;
	case 9904: { /* A peer without a path MTU. */
		id->state = ANSWERED;
		push(id, RDMA_CM_EVENT_CONNECT_RESPONSE, 0, NULL, 0, 196);
		return 1;
	}
	case 9905: /* What no program asked for, then the end. */
		push(id, RDMA_CM_EVENT_ADDR_CHANGE, 0, NULL, 0, 0);
		push(id, RDMA_CM_EVENT_REJECTED, 8, NULL, 0, 148);
		push(id, RDMA_CM_EVENT_TIMEWAIT_EXIT, 0, NULL, 0, 0);
		push(id, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT, NULL, 0, 0);
		return 1;
	case 9906: /* A service with another Q_Key. */
		push(id, RDMA_CM_EVENT_ADDR_ERROR, -EINVAL, NULL, 0, 0);
		return 1;
	default:
		return 0;
	}
}

int rdma_connect(struct rdma_cm_id *base, struct rdma_conn_param *param)
{
	struct id *id = (struct id *)base;
	int is_datagram = id->id.qp_type == IBV_QPT_UD;
	if (fails("connect"))
		return -1;
	if (param->private_data_len > (is_datagram ? 180 : 56))
		return refuse(EINVAL);
	uint16_t port = port_of(&id->id.route.addr.dst_addr);
	pthread_mutex_lock(&mutex);
	id->param = *param;
	id->state = ASKING;
	struct id *listener = ids;
	while (listener != NULL && !(listener->state == LISTENING && listener->id.ps == id->id.ps &&
				     port_of(&listener->id.route.addr.src_addr) == port))
		listener = listener->next;
	if (connect_special(id, port)) {
		/* Done. */
	} else if (listener == NULL) {
		if (is_datagram)
			push(id, RDMA_CM_EVENT_UNREACHABLE, 1, NULL, 0, 136);
		else
			push(id, RDMA_CM_EVENT_REJECTED, 8, NULL, 0, 148);
	} else {
		struct id *request = new_id(listener->id.channel, listener->id.context, listener->id.ps);
		request->state = REQUESTED;
		request->peer = id;
		id->peer = request;
		request->param = *param;
		/* Whoever listens at 9990 is asked through another device. */
		request->id.verbs = &contexts[port == 9990 ? 1 : 0];
		request->id.port_num = 1;
		request->id.route.addr.src_storage = id->id.route.addr.dst_storage;
		request->id.route.addr.dst_storage = id->id.route.addr.src_storage;
		struct event *event = push(listener, RDMA_CM_EVENT_CONNECT_REQUEST, 0, param->private_data,
					   param->private_data_len, is_datagram ? 180 : 56);
		event->event.id = &request->id;
		event->event.listen_id = &listener->id;
		if (!is_datagram)
			put_parameters(event, param);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

int rdma_accept(struct rdma_cm_id *base, struct rdma_conn_param *param)
{
	struct id *id = (struct id *)base;
	int is_datagram = id->id.qp_type == IBV_QPT_UD, result = 0;
	if (fails("accept"))
		return -1;
	if (param->private_data_len > (is_datagram ? 136 : 196))
		return refuse(EINVAL);
	pthread_mutex_lock(&mutex);
	if (id->state != REQUESTED || id->peer == NULL) {
		result = refuse(EINVAL);
	} else if (is_datagram) {
		struct event *event = push(id->peer, RDMA_CM_EVENT_ESTABLISHED, 0, param->private_data,
					   param->private_data_len, 136);
		struct rdma_ud_param *ud = &event->event.param.ud;
		ud->qp_num = param->qp_num;
		ud->qkey = RDMA_UDP_QKEY;
		static const uint8_t gid[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1 };
		memcpy(ud->ah_attr.grh.dgid.raw, gid, 16);
		ud->ah_attr.is_global = 1;
		ud->ah_attr.port_num = 1;
		ud->ah_attr.grh.sgid_index = 3;
		ud->ah_attr.grh.hop_limit = 64;
		ud->ah_attr.grh.traffic_class = id->peer->tos;
		ud->ah_attr.grh.flow_label = 0xabcde;
		id->state = OVER;
		id->peer->peer = NULL;
		id->peer = NULL;
	} else {
		id->param = *param;
		id->state = ACCEPTED;
		id->peer->state = ANSWERED;
		put_parameters(push(id->peer, RDMA_CM_EVENT_CONNECT_RESPONSE, 0, param->private_data,
				    param->private_data_len, 196), param);
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

int rdma_establish(struct rdma_cm_id *base)
{
	struct id *id = (struct id *)base;
	int result = 0;
	if (fails("establish"))
		return -1;
	pthread_mutex_lock(&mutex);
	if (id->state != ANSWERED || id->peer == NULL) {
		result = refuse(EINVAL);
	} else {
		id->state = id->peer->state = CONNECTED;
		push(id->peer, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0, 0);
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

int rdma_reject(struct rdma_cm_id *base, const void *data, uint8_t length)
{
	struct id *id = (struct id *)base;
	int is_datagram = id->id.qp_type == IBV_QPT_UD, result = 0;
	if (fails("reject"))
		return -1;
	pthread_mutex_lock(&mutex);
	if ((id->state != REQUESTED && id->state != ANSWERED) || id->peer == NULL) {
		result = refuse(EINVAL);
	} else {
		if (is_datagram)
			push(id->peer, RDMA_CM_EVENT_UNREACHABLE, 2, data, length, 136);
		else
			push(id->peer, RDMA_CM_EVENT_REJECTED, 28, data, length, 148);
		id->peer->state = id->state = OVER;
		id->peer->peer = NULL;
		id->peer = NULL;
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

int rdma_disconnect(struct rdma_cm_id *base)
{
	struct id *id = (struct id *)base;
	int result = 0;
	if (fails("disconnect"))
		return -1;
	pthread_mutex_lock(&mutex);
	if (id->state != CONNECTED) {
		result = refuse(EINVAL);
	} else if (getenv("STAND_IN_LOSE_DREQ") != NULL) {
		push(id, RDMA_CM_EVENT_DISCONNECTED, -ETIMEDOUT, NULL, 0, 0);
		id->state = OVER;
	} else if (id->peer != NULL) {
		id->has_asked_to_end = 1;
		push(id->peer, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0, 0);
		if (id->peer->has_asked_to_end) {
			id->state = id->peer->state = OVER;
			id->peer->peer = NULL;
			id->peer = NULL;
		}
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

int rdma_notify(struct rdma_cm_id *base, enum ibv_event_type type)
{
	struct id *id = (struct id *)base;
	if (fails("notify"))
		return -1;
	if (type != IBV_EVENT_COMM_EST)
		return refuse(EINVAL);
	pthread_mutex_lock(&mutex);
	push(id, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0, 0);
	pthread_mutex_unlock(&mutex);
	return 0;
}

/* Every field has a value of its own, so that a wrong place shows. */
int rdma_init_qp_attr(struct rdma_cm_id *base, struct ibv_qp_attr *a, int *mask)
{
	struct id *id = (struct id *)base;
	static const uint8_t gid[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 77 };
	enum ibv_qp_state wanted = a->qp_state;
	if (fails("init_qp_attr"))
		return -1;
	memset(a, 0, sizeof(*a));
	a->qp_state = wanted;
	switch (wanted) {
	case IBV_QPS_INIT:
		a->port_num = 1;
		a->pkey_index = 2;
		a->qp_access_flags = 0xe;
		break;
	case IBV_QPS_RTR:
		memcpy(a->ah_attr.grh.dgid.raw, gid, 16);
		a->ah_attr.is_global = 1;
		a->ah_attr.grh.sgid_index = 3;
		a->ah_attr.grh.hop_limit = 63;
		a->ah_attr.grh.traffic_class = id->tos;
		a->ah_attr.grh.flow_label = 0xa906f;
		a->ah_attr.port_num = 1;
		a->path_mtu = port_of(&id->id.route.addr.dst_addr) == 9904 ? 0 : IBV_MTU_2048;
		a->rq_psn = 0x494504;
		a->dest_qp_num = 0x1234;
		a->max_dest_rd_atomic = 5;
		break;
	case IBV_QPS_RTS:
		a->sq_psn = 0x54b3a1;
		a->max_rd_atomic = 3;
		a->timeout = id->ack_timeout;
		a->retry_cnt = 6;
		a->rnr_retry = 4;
		break;
	default:
		return refuse(EINVAL);
	}
	*mask = 1 << 25 | IBV_QP_STATE;
	return 0;
}
