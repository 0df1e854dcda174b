/*
 * What the host leaves to be done to a frame, as the tree's interfaces are asked for it.
 */

#include "vifvar.h"

#include <sys/systm.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

/* Which checksum of the tree's that is, so far behind the start of IP; 0 if it has none such. */
static int
vif_sum(struct mbuf *m, u_int header, u_int at)
{
	const uint8_t *packet = mtod(m, const uint8_t *) + vif_link_header(m);
	const struct ip *ip = (const void *)packet;
	const struct ip6_hdr *ip6 = (const void *)packet;
	uint16_t type;
	int proto;
	bool v6;

	memcpy(&type, packet - sizeof(type), sizeof(type));
	if (type == htons(ETHERTYPE_IP)) {
		v6 = false;
		proto = (u_int)ip->ip_hl << 2 == header ? ip->ip_p : -1;
	} else if (type == htons(ETHERTYPE_IPV6)) {
		v6 = true;
		proto = sizeof(*ip6) == header ? ip6->ip6_nxt : -1;
	} else {
		return 0;
	}
	if (proto == IPPROTO_TCP && at == offsetof(struct tcphdr, th_sum))
		return v6 ? M_CSUM_TCPv6 : M_CSUM_TCPv4;
	if (proto == IPPROTO_UDP && at == offsetof(struct udphdr, uh_sum))
		return v6 ? M_CSUM_UDPv6 : M_CSUM_UDPv4;
	return 0;
}

/*
 * Asks for a checksum that belongs at at, from start on, and if segsz is not 0 for the cutting
 * up of a TCP segment.  What the tree has no name for is done here.  False if it cannot be done.
 */
bool
vif_ask(struct mbuf *m, u_int start, u_int at, u_int segsz)
{
	u_int link = vif_link_header(m);
	int sum;

	/* The headers lie in one piece: a frame that is not short begins a cluster. */
	if (start < link + sizeof(struct ip) ||
	    at + sizeof(uint16_t) > (u_int)m->m_pkthdr.len ||
	    start + sizeof(struct tcphdr) > MCLBYTES - VIF_ALIGNED)
		return false;
	sum = vif_sum(m, start - link, at - start);
	m->m_pkthdr.csum_data = (start - link) << 16 | (at - start);
	m->m_pkthdr.segsz = segsz;
	if (segsz == 0) {
		if (sum == 0)
			vif_complete(m, start, at);
		m->m_pkthdr.csum_flags = sum;
		return true;
	}
	m->m_pkthdr.csum_flags =
	    sum == M_CSUM_TCPv6 ? M_CSUM_TSOv6 : M_CSUM_TSOv4;
	return (sum == M_CSUM_TCPv4 || sum == M_CSUM_TCPv6) &&
	    start + sizeof(struct tcphdr) <= (u_int)m->m_pkthdr.len;
}
