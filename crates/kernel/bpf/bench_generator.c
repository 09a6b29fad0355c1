// SPDX-License-Identifier: Apache-2.0
//
// For the bench only, never attached to a link: makes frames as a driver would (XDP live frames) or as a neighbour
// container does (socket buffers), with a source out of a list of `count` addresses from `base` on.
//
// Licence: none of the functions called here is kept for GPL programs.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct plan {
	__u32 link, base, count;
	__u32 state;  // of the generator of numbers
};

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct plan); } plan SEC(".maps");

// The next source (a linear congruence: all that is wanted is that no cache can guess it).
static __always_inline __u32 source(struct plan *p)
{
	p->state = p->state * 1664525 + 1013904223;
	return p->base + (p->state >> 8) % p->count;
}

static __always_inline void address(struct iphdr *head, __u32 from)
{
	head->saddr = bpf_htonl(from);
	head->check = 0;
	__u16 *word = (__u16 *)head;
	__u32 sum = 0;
	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	head->check = ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int driver(struct xdp_md *context)
{
	void *at = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 zero = 0;
	struct plan *p = bpf_map_lookup_elem(&plan, &zero);
	struct iphdr *head = at + sizeof(struct ethhdr);
	if (!p || !p->count || (void *)(head + 1) > end)
		return XDP_DROP;
	address(head, source(p));
	return p->link ? bpf_redirect(p->link, 0) : XDP_DROP;
}

SEC("classifier")
int neighbour(struct __sk_buff *buffer)
{
	void *at = (void *)(long)buffer->data, *end = (void *)(long)buffer->data_end;
	__u32 zero = 0;
	struct plan *p = bpf_map_lookup_elem(&plan, &zero);
	struct iphdr *head = at + sizeof(struct ethhdr);
	if (!p || !p->count || (void *)(head + 1) > end)
		return 2;
	address(head, source(p));
	if (p->link)
		bpf_clone_redirect(buffer, p->link, 0);
	return 2;  // dropped: the clone went
}

char licence[] SEC("license") = "Apache-2.0";
