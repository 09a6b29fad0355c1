// SPDX-License-Identifier: Apache-2.0
//
// Volumetric defence at the driver: what must not reach the stack is dropped before a socket buffer exists.
//
// In: frames of one link; the maps below, which `kernel::xdp` writes. Out: XDP_DROP or XDP_PASS, counters, events.
// Never: a changed or sent frame; a loop without bound; a verdict about anything that is not IPv4 or IPv6.
//
// Order: allowed address, blocked address, blocked network, then what one source may send: packets, SYNs, datagrams.
// A frame that cannot be read as far as a verdict needs is counted and passed: the stack below refuses it by itself.
// What a list does not need is read only after the lists: under a flood of blocked sources every step counts.
//
// Licence: none of the functions called here is kept for GPL programs (bpf_map_lookup_elem, bpf_map_update_elem,
// bpf_ktime_get_ns since Linux 5.8, bpf_ringbuf_reserve/submit). The licence string below is therefore our own; the
// kernel refuses to load the object if a GPL-only function slips in. Needs Linux 5.18: `xdp.frags`, ring buffer,
// compare-and-exchange (-mcpu=v3).

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VLANS 2       // outer and inner tag
#define EXTENSIONS 8  // of IPv6; RFC 8504 5.3 names the same bound for options
#define ATTEMPTS 4    // of one compare-and-exchange; who loses them all is one of many frames of that source

// What was counted; `xdp/counter.rs` has the same order. The first nine are verdicts: each frame has exactly one. What was
// seen of a kind is counted after the lists.
enum count { OTHER, UNREAD, ALLOWED, PASSED, BLOCKED, NETWORK, PACKETS, SYNS, DATAGRAMS, SYN_SEEN, UDP_SEEN, LOST, UNCOUNTED, COUNTS };

// What is switched on; a map that is empty is not looked into.
enum use { ALLOW = 1, NETWORKS = 2, LIMITS = 4 };

// One rate as a virtual schedule: a frame moves `due` by `interval`; more than `tolerance` ahead of now is over.
struct rate { __u64 interval, tolerance; };

struct settings { __u64 uses; struct rate packets, syns, datagrams, events; };
struct tally { __u64 frames, bytes; };
struct counters { struct tally of[COUNTS]; };
struct block { __u64 until; __u64 rule; };  // nanoseconds of the monotonic clock, 0: for ever; who blocked it
struct schedule { __u64 packets, syns, datagrams; };
struct network4 { __u32 length; __u8 address[4]; };
struct network6 { __u32 length; __u8 address[16]; };
struct address { __u8 bytes[16]; };  // IPv4 as ::ffff:a.b.c.d

struct event {
	__u64 at;
	__u64 rule;
	struct address source, destination;
	__u32 link;
	__u32 bytes;
	__u16 port;  // destination, host order; 0: unknown
	__u8 protocol;
	__u8 count;
	__u16 source_port;
	__u16 spare;  // the size is a multiple of eight
};

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct settings); } settings SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct counters); } counters SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } telling SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 262144); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, __u32); __type(value, struct block); } block4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 262144); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct address); __type(value, struct block); } block6 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network4); __type(value, struct block); } network4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network6); __type(value, struct block); } network6 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 4096); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network4); __type(value, __u64); } allow4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 4096); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network6); __type(value, __u64); } allow6 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 262144); __type(key, struct address); __type(value, struct schedule); } sources SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 262144); } events SEC(".maps");

// What was read of one frame; `source` and what follows only by `read_all`.
struct frame {
	__u64 bytes;
	__u32 link;
	__u32 offset;  // of the network header
	__u16 kind;
	struct address source, destination;
	__u16 source_port, port;
	__u8 protocol;
	__u8 whole;  // not a later fragment: a transport header follows
	__u8 syn;
};

static __always_inline void add(struct counters *to, enum count what, const struct frame *f)
{
	to->of[what].frames++;
	to->of[what].bytes += f->bytes;
}

// Whether one frame more is too many; otherwise it is entered. Safe with many cores at the same source.
static __always_inline int over(__u64 *due, __u64 now, const struct rate *rate)
{
	if (!rate->interval)
		return 0;
	for (int i = 0; i < ATTEMPTS; i++) {
		__u64 seen = *(volatile __u64 *)due;
		__u64 from = seen > now ? seen : now;
		if (from - now > rate->tolerance)
			return 1;
		if (__sync_val_compare_and_swap(due, seen, from + rate->interval) == seen)
			return 0;
	}
	return 1;
}

static __always_inline void tell(struct counters *to, struct frame *f, enum count what, __u64 rule, __u64 now)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		add(to, LOST, f);
		return;
	}
	event->at = now;
	event->rule = rule;
	event->source = f->source;
	event->destination = f->destination;
	event->link = f->link;
	event->bytes = f->bytes;
	event->port = f->port;
	event->protocol = f->protocol;
	event->count = what;
	event->source_port = f->source_port;
	event->spare = 0;
	bpf_ringbuf_submit(event, 0);
}

// The transport header: ports, and whether it opens a TCP connection. A first fragment that ends before the
// flags (RFC 1858) counts as one that does.
static __always_inline void read_transport(struct frame *f, __u8 *byte, void *end)
{
	if (!f->whole)
		return;
	if (f->protocol == IPPROTO_TCP) {
		f->syn = 1;
		if ((void *)(byte + 14) <= end)
			f->syn = (byte[13] & 0x12) == 0x02;
	}
	if ((f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP) && (void *)(byte + 4) <= end) {
		f->source_port = (__u16)byte[0] << 8 | byte[1];
		f->port = (__u16)byte[2] << 8 | byte[3];
	}
}

static __always_inline void read_ipv4(struct frame *f, void *at, void *end)
{
	struct iphdr *head = at;
	if ((void *)(head + 1) > end)
		return;
	f->source.bytes[10] = f->source.bytes[11] = f->destination.bytes[10] = f->destination.bytes[11] = 0xff;
	__builtin_memcpy(f->source.bytes + 12, &head->saddr, 4);
	__builtin_memcpy(f->destination.bytes + 12, &head->daddr, 4);
	f->protocol = head->protocol;
	f->whole = (head->frag_off & bpf_htons(0x1fff)) == 0;
	read_transport(f, at + head->ihl * 4, end);
}

// Steps over the extension headers (RFC 8200 4, and the authentication header of RFC 4302). What lies behind a chain
// that is too long or too short to read has no protocol: its source is still judged.
static __always_inline void read_extensions(struct frame *f, void *at, void *end, __u8 next)
{
	f->whole = 1;
	for (int i = 0; i <= EXTENSIONS; i++) {
		__u8 *byte = at;
		__u32 length;
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case 135:  // mobility
		case 139:  // host identity
		case 140:  // shim6
			if ((void *)(byte + 8) > end)
				return;
			length = (byte[1] + 1) * 8;
			break;
		case IPPROTO_AH:
			if ((void *)(byte + 8) > end)
				return;
			length = (byte[1] + 2) * 4;
			break;
		case IPPROTO_FRAGMENT:
			if ((void *)(byte + 8) > end)
				return;
			f->whole = ((byte[2] << 8 | byte[3]) & 0xfff8) == 0;
			length = 8;
			break;
		default:
			f->protocol = next;
			read_transport(f, at, end);
			return;
		}
		next = byte[0];
		if (!f->whole) {
			f->protocol = next;
			return;
		}
		at += length;
	}
}

static __always_inline void read_ipv6(struct frame *f, void *at, void *end)
{
	struct ipv6hdr *head = at;
	if ((void *)(head + 1) > end)
		return;
	__builtin_memcpy(&f->source, &head->saddr, 16);
	__builtin_memcpy(&f->destination, &head->daddr, 16);
	read_extensions(f, head + 1, end, head->nexthdr);
}

// A function of its own for the verifier, which then follows its many paths once.
__attribute__((noinline)) int read_all(struct xdp_md *context, struct frame *f)
{
	void *at = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	if (!f || f->offset > 64)
		return 1;
	if (f->kind == bpf_htons(ETH_P_IPV6))
		read_ipv6(f, at + f->offset, end);
	else
		read_ipv4(f, at + f->offset, end);
	return 0;
}

// Past the Ethernet header and its tags, to `*to`. The protocol number of what follows, or 0.
static __always_inline __u16 read_link(void **to, void *end)
{
	struct ethhdr *head = *to;
	if ((void *)(head + 1) > end)
		return 0;
	__u16 kind = head->h_proto;
	*to = head + 1;
	for (int i = 0; i < VLANS; i++) {
		if (kind != bpf_htons(ETH_P_8021Q) && kind != bpf_htons(ETH_P_8021AD))
			break;
		__u16 *tag = *to;
		if ((void *)(tag + 2) > end)
			return 0;
		kind = tag[1];
		*to = tag + 2;
	}
	return kind;
}

// The clock is read only when a verdict needs it.
static __always_inline int in_force(const struct block *block)
{
	return block && (!block->until || block->until > bpf_ktime_get_ns());
}

// One verdict about an address of either family: the maps differ, the order does not. `key` lies in the frame.
#define JUDGE(FAMILY, BYTES, KEY)                                                                  \
	struct network##FAMILY network;                                                            \
	if (set->uses & (ALLOW | NETWORKS)) {                                                      \
		network.length = BYTES * 8;                                                        \
		__builtin_memcpy(network.address, KEY, BYTES);                                     \
		if (set->uses & ALLOW && bpf_map_lookup_elem(&allow##FAMILY, &network))            \
			return ALLOWED;                                                            \
	}                                                                                          \
	struct block *block = bpf_map_lookup_elem(&block##FAMILY, KEY);                            \
	if (in_force(block)) {                                                                     \
		*rule = block->rule;                                                               \
		return BLOCKED;                                                                    \
	}                                                                                          \
	if (set->uses & NETWORKS) {                                                                \
		block = bpf_map_lookup_elem(&network##FAMILY, &network);                           \
		if (in_force(block)) {                                                             \
			*rule = block->rule;                                                       \
			return NETWORK;                                                            \
		}                                                                                  \
	}                                                                                          \
	return PASSED;

static __always_inline enum count judge_ipv4(const struct settings *set, struct iphdr *head, void *end, __u64 *rule)
{
	if ((void *)(head + 1) > end || head->version != 4 || head->ihl < 5)
		return UNREAD;
	JUDGE(4, 4, &head->saddr)
}

static __always_inline enum count judge_ipv6(const struct settings *set, struct ipv6hdr *head, void *end, __u64 *rule)
{
	if ((void *)(head + 1) > end || head->version != 6)
		return UNREAD;
	JUDGE(6, 16, &head->saddr)
}

// What one source may send: an IPv4 address, or the /64 of an IPv6 address, which one host can fill.
static __always_inline enum count judge_rate(struct counters *to, const struct settings *set, const struct frame *f)
{
	__u64 now = bpf_ktime_get_ns();
	struct address key = f->source;
	if (f->kind == bpf_htons(ETH_P_IPV6))
		__builtin_memset(key.bytes + 8, 0, 8);
	struct schedule *of = bpf_map_lookup_elem(&sources, &key);
	if (!of) {
		struct schedule fresh = { now, now, now };
		bpf_map_update_elem(&sources, &key, &fresh, BPF_NOEXIST);
		of = bpf_map_lookup_elem(&sources, &key);
		if (!of) {
			add(to, UNCOUNTED, f);
			return PASSED;
		}
	}
	if (f->syn && over(&of->syns, now, &set->syns))
		return SYNS;
	if (f->protocol == IPPROTO_UDP && over(&of->datagrams, now, &set->datagrams))
		return DATAGRAMS;
	return over(&of->packets, now, &set->packets) ? PACKETS : PASSED;
}

SEC("xdp.frags")
int ringwall_xdp(struct xdp_md *context)
{
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct counters *to = bpf_map_lookup_elem(&counters, &zero);
	if (!set || !to)
		return XDP_PASS;
	void *start = (void *)(long)context->data, *end = (void *)(long)context->data_end, *at = start;
	struct frame f = { .bytes = end - start, .link = context->ingress_ifindex };
	f.kind = read_link(&at, end);
	f.offset = at - start;

	__u64 rule = 0;
	enum count verdict = f.kind ? OTHER : UNREAD;
	if (f.kind == bpf_htons(ETH_P_IP))
		verdict = judge_ipv4(set, at, end, &rule);
	else if (f.kind == bpf_htons(ETH_P_IPV6))
		verdict = judge_ipv6(set, at, end, &rule);
	if (verdict == PASSED) {
		read_all(context, &f);
		if (f.syn)
			add(to, SYN_SEEN, &f);
		if (f.protocol == IPPROTO_UDP)
			add(to, UDP_SEEN, &f);
		if (set->uses & LIMITS)
			verdict = judge_rate(to, set, &f);
	}
	add(to, verdict, &f);
	if (verdict < BLOCKED)
		return XDP_PASS;
	if (set->events.interval) {
		__u64 now = bpf_ktime_get_ns(), *due = bpf_map_lookup_elem(&telling, &zero);
		if (due && !over(due, now, &set->events)) {
			if (verdict == BLOCKED || verdict == NETWORK)
				read_all(context, &f);
			tell(to, &f, verdict, rule, now);
		}
	}
	return XDP_DROP;
}

char licence[] SEC("license") = "Apache-2.0";
