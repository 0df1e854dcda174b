/*
 * Finishing what an interface below does not do: checksums, and the cutting up of TCP
 * segments.  rump-hyper/src/vif/offload does the same for frames that go to the host.
 */

#include "vifvar.h"

#include <sys/systm.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

/* Completes the checksum over all that follows start, which has its place at at. */
void
vif_complete(struct mbuf *m, u_int start, u_int at)
{
	uint16_t sum;

	sum = in4_cksum(m, 0, start, m->m_pkthdr.len - start);
	/* Which in UDP would mean that there is none. */
	if (sum == 0)
		sum = 0xffff;
	m_copyback(m, at, sizeof(sum), &sum);
}

/* A segment that is being cut up. */
struct vif_cut {
	struct mbuf	*whole;
	u_int		ip, tcp, data;	/* where they begin */
	u_int		at;		/* the next piece */
	u_int		count;
	bool		v6;
};

/* Brings a copy of the headers up to the piece that follows them. */
static void
vif_cut_headers(struct vif_cut *cut, struct mbuf *n, u_int length)
{
	uint8_t *frame = mtod(n, uint8_t *);
	struct tcphdr *th = (void *)(frame + cut->tcp);
	u_int total = cut->data + length, segment = total - cut->tcp;

	th->th_seq = htonl(ntohl(th->th_seq) + cut->at - cut->data);
	if (cut->at + length < (u_int)cut->whole->m_pkthdr.len)
		th->th_flags &= ~(TH_FIN | TH_PUSH);
	if (cut->count > 0)
		th->th_flags &= ~TH_CWR;
	if (cut->v6) {
		struct ip6_hdr *ip6 = (void *)(frame + cut->ip);

		ip6->ip6_plen = htons(total - cut->ip - sizeof(*ip6));
		th->th_sum = in6_cksum_phdr(&ip6->ip6_src, &ip6->ip6_dst,
		    htonl(segment), htonl(IPPROTO_TCP));
	} else {
		struct ip *ip = (void *)(frame + cut->ip);

		ip->ip_len = htons(total - cut->ip);
		ip->ip_id = htons(ntohs(ip->ip_id) + cut->count);
		ip->ip_sum = 0;
		ip->ip_sum = in4_cksum(n, 0, cut->ip, cut->tcp - cut->ip);
		th->th_sum = in_cksum_phdr(ip->ip_src.s_addr, ip->ip_dst.s_addr,
		    htons((uint16_t)(segment + IPPROTO_TCP)));
	}
	vif_complete(n, cut->tcp, cut->tcp + offsetof(struct tcphdr, th_sum));
}

/* The next piece. */
static struct mbuf *
vif_cut_piece(struct vif_cut *cut, u_int length)
{
	struct mbuf *m = cut->whole, *n;

	if ((n = m_gethdr(M_DONTWAIT, MT_HEADER)) == NULL)
		return NULL;
	if (cut->data + VIF_ALIGNED > MHLEN) {
		MCLGET(n, M_DONTWAIT);
		if ((n->m_flags & M_EXT) == 0 || cut->data + VIF_ALIGNED > MCLBYTES)
			goto fail;
	}
	n->m_data += VIF_ALIGNED;
	n->m_len = cut->data;
	n->m_flags |= m->m_flags & (M_BCAST | M_MCAST);
	n->m_pkthdr.len = cut->data + length;
	m_copydata(m, 0, cut->data, mtod(n, void *));
	n->m_next = m_copym(m, cut->at, length, M_DONTWAIT);
	if (n->m_next == NULL)
		goto fail;
	vif_cut_headers(cut, n, length);
	return n;
fail:
	m_freem(n);
	return NULL;
}

/* Cuts a segment up into frames, linked by m_nextpkt; all of them or none. */
static struct mbuf *
vif_cut(struct mbuf *m, u_int link)
{
	struct vif_cut cut;
	struct tcphdr header;
	struct mbuf *head = NULL, *n, **next = &head;
	u_int size = m->m_pkthdr.segsz, length, total = m->m_pkthdr.len;

	cut.whole = m;
	cut.v6 = (m->m_pkthdr.csum_flags & M_CSUM_TSOv6) != 0;
	cut.ip = link;
	cut.tcp = link + (cut.v6 ? m->m_pkthdr.csum_data >> 16 :
	    M_CSUM_DATA_IPv4_IPHL(m->m_pkthdr.csum_data));
	cut.count = 0;
	if (size == 0 || cut.tcp + sizeof(header) > total)
		goto out;
	m_copydata(m, cut.tcp, sizeof(header), &header);
	cut.data = cut.tcp + (header.th_off << 2);
	for (cut.at = cut.data; cut.at < total; cut.at += length) {
		length = MIN(size, total - cut.at);
		if ((n = vif_cut_piece(&cut, length)) == NULL)
			break;
		cut.count++;
		*next = n;
		next = &n->m_nextpkt;
	}
	if (cut.at < total)
		while ((n = head) != NULL) {
			head = n->m_nextpkt;
			n->m_nextpkt = NULL;
			m_freem(n);
		}
out:
	m_freem(m);
	return head;
}

/* Does all that is to be done to a frame; returns what comes of it, or NULL. */
static struct mbuf *
vif_finish(struct mbuf *m)
{
	u_int link, start;

	link = vif_link_header(m);
	if (m->m_pkthdr.csum_flags & (M_CSUM_TSOv4 | M_CSUM_TSOv6))
		return vif_cut(m, link);
	start = link + (m->m_pkthdr.csum_data >> 16);
	vif_complete(m, start, start + (m->m_pkthdr.csum_data & 0xffff));
	m->m_pkthdr.csum_flags &= ~VIF_TX_FLAGS;
	return m;
}

/* What a frame asks for that an interface does not do. */
static int
vif_left(const struct ifnet *ifp, struct mbuf *m)
{
	int asked = m->m_pkthdr.csum_flags & VIF_TX_FLAGS;

	/* Drivers look for IP behind a header without a tag. */
	if (vif_link_header(m) != ETHER_HDR_LEN && vif_of(ifp) == NULL)
		return asked;
	return asked & ~(ifp->if_csum_flags_tx |
	    (ifp->if_capenable & IFCAP_TSOv4 ? M_CSUM_TSOv4 : 0) |
	    (ifp->if_capenable & IFCAP_TSOv6 ? M_CSUM_TSOv6 : 0));
}

/*
 * Sends a frame over an interface of the kernel, which does what it can of what is asked
 * for; the rest is done here.  Counts frames of which there was a rest.
 */
int
vif_output(struct ifnet *ifp, struct mbuf *m, u_int *finished)
{
	struct mbuf *next;
	int error = 0;

	if (__predict_false(vif_left(ifp, m) != 0)) {
		if (finished != NULL)
			*finished += 1;
		if ((m = vif_finish(m)) == NULL)
			return ENOBUFS;
	}
	for (; m != NULL; m = next) {
		next = m->m_nextpkt;
		m->m_nextpkt = NULL;
		if (error == 0)
			error = if_transmit_lock(ifp, m);
		else
			m_freem(m);
	}
	return error;
}
