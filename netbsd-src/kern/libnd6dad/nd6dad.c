/*
 * IPv6 addresses that others have are found out without a deadlock.
 *
 * In NetBSD 7 the timer of duplicate address detection holds a lock when it finds
 * that somebody else has asked for the same address, and what it calls then takes
 * that lock again: the kernel stands still, with all its locks.  Any host on the link
 * can have it do so.  What is received and says that somebody has the address takes
 * this lock too, and waits with it for the timer.
 *
 * Here either message marks the address as a duplicate at once, and stops the timer as
 * the removal of an address does, which does not hold that lock while it waits.  Unlike
 * the tree, this does not turn IPv6 off on an interface whose own link-local address is
 * a duplicate.
 */

#include <sys/param.h>

#ifdef ND6DAD_LOCKS

#include <sys/mbuf.h>
#include <sys/socket.h>
#include <sys/syslog.h>

#include <net/if.h>
#include <net/route.h>

#include <netinet/in.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netinet6/in6_var.h>
#include <netinet6/nd6.h>
#include <netinet6/scope6_var.h>

/* The tree's own definitions. */
void	nd6_ns_input_tree(struct mbuf *, int, int);
void	nd6_na_input_tree(struct mbuf *, int, int);

/* A solicitation and an advertisement have the target at the same place. */
CTASSERT(offsetof(struct nd_neighbor_solicit, nd_ns_target) ==
    offsetof(struct nd_neighbor_advert, nd_na_target));

/* Marks the address that is asked for, if a message from the link is about it. */
static bool
duplicated(struct mbuf *m, int off, int length)
{
	struct nd_neighbor_solicit message;
	struct in6_ifaddr *ia = NULL;
	struct in6_addr target;
	struct psref psref;
	struct ifnet *ifp;

	if (length < (int)sizeof(message) ||
	    m->m_pkthdr.len < off + (int)sizeof(message) ||
	    mtod(m, struct ip6_hdr *)->ip6_hlim != 255)
		return false;
	m_copydata(m, off, sizeof(message), &message);
	target = message.nd_ns_target;

	if ((ifp = m_get_rcvif_psref(m, &psref)) == NULL)
		return false;
	if (!IN6_IS_ADDR_MULTICAST(&target) &&
	    in6_setscope(&target, ifp, NULL) == 0)
		ia = in6ifa_ifpwithaddr(ifp, &target);
	if (ia != NULL && (ia->ia6_flags & IN6_IFF_TENTATIVE) == 0)
		ia = NULL;
	if (ia != NULL) {
		log(LOG_ERR, "%s: DAD detected duplicate IPv6 address %s\n",
		    ifp->if_xname, ip6_sprintf(&target));
		ia->ia6_flags &= ~IN6_IFF_TENTATIVE;
		ia->ia6_flags |= IN6_IFF_DUPLICATED;
		rt_newaddrmsg(RTM_NEWADDR, &ia->ia_ifa, 0, NULL);
		nd6_dad_stop(&ia->ia_ifa);
	}
	m_put_rcvif_psref(ifp, &psref);
	return ia != NULL;
}

void
nd6_ns_input(struct mbuf *m, int off, int length)
{
	const struct ip6_hdr *ip6 = mtod(m, struct ip6_hdr *);

	/* Who has an address already asks for that of another. */
	if (IN6_IS_ADDR_UNSPECIFIED(&ip6->ip6_src) && duplicated(m, off, length))
		m_freem(m);
	else
		nd6_ns_input_tree(m, off, length);
}

void
nd6_na_input(struct mbuf *m, int off, int length)
{

	if (duplicated(m, off, length))
		m_freem(m);
	else
		nd6_na_input_tree(m, off, length);
}

#endif	/* ND6DAD_LOCKS */
