/*
 * Gathering what is sent.
 *
 * A large write comes to TCP in clusters of 2 KiB, and where the window is open TCP
 * sends at each what is there: a segment or two.  Cutting up segments pays where they
 * are long.  So, while more is to come within the same system call and something is
 * under way already, TCP is not asked to send before a long segment has come together,
 * or as much as the window or the socket's buffer allows.  Linux does so too, as
 * tcp_autocorking.
 *
 * Nothing stays behind: the system call comes again at once (there is room, so it does
 * not wait), and if it fails halfway, what is under way is acknowledged, upon which TCP
 * looks for more to send.
 */

#include "vifvar.h"

#include <sys/socketvar.h>
#include <sys/systm.h>

#include <net/route.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/in_pcb.h>
#include <netinet/ip6.h>
#include <netinet6/in6_pcb.h>
#include <netinet/tcp.h>
#include <netinet/tcp_timer.h>
#include <netinet/tcp_var.h>

/* What is left of the longest packet behind its headers, in usual segments. */
#define	LONG	(IP_MAXPACKET - 4096)

int	tcp_output_tree(struct tcpcb *);

/* Whether the connection leaves the cutting up of segments to its interface. */
static bool
vif_cuts(struct tcpcb *tp)
{
	struct route *ro = tp->t_inpcb != NULL ? &tp->t_inpcb->inp_route :
	    &tp->t_in6pcb->in6p_route;
	struct rtentry *rt = rtcache_validate(ro);
	bool cuts;

	if (rt == NULL)
		return false;
	cuts = (rt->rt_ifp->if_capenable & (IFCAP_TSOv4 | IFCAP_TSOv6)) != 0;
	VIF_ROUTE_UNREF(rt, ro);
	return cuts;
}

/* Whether more will be there to be sent in a moment.  The socket's lock is held. */
static bool
vif_gathers(struct tcpcb *tp)
{
	struct socket *so = tp->t_inpcb != NULL ? tp->t_inpcb->inp_socket :
	    tp->t_in6pcb->in6p_socket;
	u_long window = MIN(tp->snd_wnd, tp->snd_cwnd);
	u_long under_way = tp->snd_nxt - tp->snd_una;
	long space = sbspace(&so->so_snd);

	return (so->so_state & SS_MORETOCOME) != 0 &&
	    !tp->t_force && (tp->t_flags & TF_ACKNOW) == 0 &&
	    under_way > 0 && tp->snd_nxt == tp->snd_max &&
	    so->so_snd.sb_cc < under_way + LONG && so->so_snd.sb_cc < window &&
	    space >= MCLBYTES && space >= (long)so->so_snd.sb_lowat &&
	    vif_cuts(tp);
}

int
tcp_output(struct tcpcb *tp)
{

	return vif_gathers(tp) ? 0 : tcp_output_tree(tp);
}
