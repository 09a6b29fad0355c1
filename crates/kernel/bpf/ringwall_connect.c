// SPDX-License-Identifier: Apache-2.0
//
// Connect hooks of a control group: a plain process reaches what its workload may reach, and nothing else.
//
// In: connect() and sendto() of processes of the group; the maps below, which `kernel::cgroup` writes. Out: go on, go on
// to another address, or EPERM at once; events. Never: a look at what is sent; a verdict for a process outside the group.
//
// A hook sees the address that the program asked for. It does not see raw and packet sockets, and a socket that was
// connected before its process came into the group stays connected; `kernel::cgroup` says what follows from that.
//
// Licence: none of the functions called here is kept for GPL programs (bpf_map_lookup_elem, bpf_ktime_get_ns,
// bpf_get_current_pid_tgid, bpf_get_current_comm, bpf_ringbuf_reserve/submit). The licence string below is our own; the
// kernel refuses to load the object if a GPL-only function slips in.

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum action { DENY, PASS, REDIRECT };

struct destination {
	__u8 address[16];  // IPv4 as ::ffff:a.b.c.d
	__u16 port;        // network order; 0 in the map: all ports
	__u8 protocol;     // 0 in the map: all protocols
	__u8 spare;
};

struct network {
	__u32 length;
	__u8 address[16];
};

struct rule {
	__u64 id;
	__u8 address[16];  // where to, when it is redirected
	__u16 port;        // network order
	__u8 action;
	__u8 spare[5];
};

struct event {
	__u64 at, rule;
	__u32 process;
	__u8 address[16];
	__u16 port;  // host order
	__u8 protocol;
	__u8 action;
	__u8 name[16];
};

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct destination); __type(value, struct rule); } exact SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 4096); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network); __type(value, struct rule); } networks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct rule); } otherwise SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } events SEC(".maps");

// The most exact rule: address, port and protocol; address and port; address; network; otherwise.
static __always_inline struct rule *find(struct destination *to)
{
	struct rule *rule = bpf_map_lookup_elem(&exact, to);
	if (rule)
		return rule;
	to->protocol = 0;
	rule = bpf_map_lookup_elem(&exact, to);
	if (rule)
		return rule;
	to->port = 0;
	rule = bpf_map_lookup_elem(&exact, to);
	if (rule)
		return rule;
	struct network network = { .length = 128 };
	__builtin_memcpy(network.address, to->address, 16);
	rule = bpf_map_lookup_elem(&networks, &network);
	if (rule)
		return rule;
	__u32 zero = 0;
	return bpf_map_lookup_elem(&otherwise, &zero);
}

static __always_inline struct rule *judge(const struct destination *wanted)
{
	struct destination to = *wanted;
	struct rule *rule = find(&to);
	if (!rule || rule->action == PASS)
		return rule;
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return rule;
	event->at = bpf_ktime_get_ns();
	event->rule = rule->id;
	event->process = bpf_get_current_pid_tgid() >> 32;
	__builtin_memcpy(event->address, wanted->address, 16);
	event->port = bpf_ntohs(wanted->port);
	event->protocol = wanted->protocol;
	event->action = rule->action;
	bpf_get_current_comm(event->name, sizeof(event->name));
	bpf_ringbuf_submit(event, 0);
	return rule;
}

static __always_inline int four(struct bpf_sock_addr *call)
{
	struct destination to = { .port = call->user_port, .protocol = call->protocol };
	__u32 address = call->user_ip4;
	to.address[10] = to.address[11] = 0xff;
	__builtin_memcpy(to.address + 12, &address, 4);
	struct rule *rule = judge(&to);
	if (!rule || rule->action == DENY)
		return 0;
	if (rule->action == REDIRECT) {
		__builtin_memcpy(&address, rule->address + 12, 4);
		call->user_ip4 = address;
		call->user_port = rule->port;
	}
	return 1;
}

static __always_inline int six(struct bpf_sock_addr *call)
{
	struct destination to = { .port = call->user_port, .protocol = call->protocol };
	__u32 words[4] = { call->user_ip6[0], call->user_ip6[1], call->user_ip6[2], call->user_ip6[3] };
	__builtin_memcpy(to.address, words, 16);
	struct rule *rule = judge(&to);
	if (!rule || rule->action == DENY)
		return 0;
	if (rule->action == REDIRECT) {
		__builtin_memcpy(words, rule->address, 16);
		call->user_ip6[0] = words[0];
		call->user_ip6[1] = words[1];
		call->user_ip6[2] = words[2];
		call->user_ip6[3] = words[3];
		call->user_port = rule->port;
	}
	return 1;
}

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *call) { return four(call); }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *call) { return six(call); }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *call) { return four(call); }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *call) { return six(call); }

char licence[] SEC("license") = "Apache-2.0";
