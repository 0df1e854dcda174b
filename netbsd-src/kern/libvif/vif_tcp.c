/*
 * Acknowledging what was put together.
 *
 * TCP acknowledges every second segment at once, and others after a while (RFC 9293,
 * 3.8.6.3).  A segment that is longer than the link allows stands for several, but the
 * tree counts it as one; and a peer whose window is small, as it is at the start of a
 * connection, sends no second one before it has heard of the first.
 *
 * The tree can be told to acknowledge at once what carries PSH.  So such a segment gets
 * that flag, which says nothing else to the tree, and the setting is on while it is
 * dealt with.  Its checksum was verified before.
 */

#include "vifvar.h"

#include <sys/socketvar.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/in_pcb.h>
#include <netinet/tcp.h>
#include <netinet/tcp_timer.h>
#include <netinet/tcp_var.h>

/* The tree's own definitions; one of them takes variable arguments in older trees. */
void	vif_tcp_input(struct mbuf *, int, int) __asm("tcp_input");
void	tcp_input_tree(struct mbuf *, int, int);
int	tcp6_input_tree(struct mbuf **, int *, int);

/* Prepares the segment; returns whether it is one of those. */
static bool
vif_several(struct mbuf *m, int off)
{
	struct ifnet *ifp;
	struct tcphdr *th;

	if (__predict_true(m->m_pkthdr.len <= ETHERMTU) ||
	    (m->m_pkthdr.csum_flags & M_CSUM_TCPv4) == 0 ||
	    m->m_len < off + (int)sizeof(*th))
		return false;
	ifp = m_get_rcvif_NOMPSAFE(m);
	if (ifp == NULL || (ifp->if_flags & IFF_LOOPBACK) != 0 ||
	    m->m_pkthdr.len <= ifp->if_mtu)
		return false;
	th = (struct tcphdr *)(mtod(m, char *) + off);
	th->th_flags |= TH_PUSH;
	return true;
}

/* All of TCP is under one lock, and so is the setting. */
void
vif_tcp_input(struct mbuf *m, int off, int proto)
{
	int setting = tcp_ack_on_push;

	if (vif_several(m, off))
		tcp_ack_on_push = 1;
	tcp_input_tree(m, off, proto);
	tcp_ack_on_push = setting;
}

int
tcp6_input(struct mbuf **mp, int *offp, int proto)
{
	int setting = tcp_ack_on_push, next;

	if (vif_several(*mp, *offp))
		tcp_ack_on_push = 1;
	next = tcp6_input_tree(mp, offp, proto);
	tcp_ack_on_push = setting;
	return next;
}
