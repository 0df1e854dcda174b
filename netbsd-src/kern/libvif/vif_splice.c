/*
 * Frames that go through another Ethernet interface of the kernel.
 *
 * A splice puts one interface (the lower: wm0, or another of these) below one of ours
 * (the upper).  What the lower receives comes to the upper, as if it had received it;
 * what the upper sends the lower sends.  Addresses, routes, sockets and filters know
 * the upper only, so a connection does not notice what its interface is over.
 *
 * - The upper keeps its Ethernet address, which peers know.  The lower takes frames for
 *   it by being promiscuous, unless it has the same address: then its filters go on to
 *   work, and the groups of the upper are put into them in any case (vif_group.c).
 * - The capabilities that are in use on the lower become those of the upper.  A frame
 *   that asks for more, because the lower's were turned off since or because the frame
 *   was made before, is finished here (vif_finish.c).
 * - The upper has a link while the lower has, and the lower an MTU that is no less.
 *
 * Or the lower's frames are for the host, and not for the stack at all: a splice in the other
 * direction, as it were, by which the host has the lower to itself (rump_vif_through).
 *
 * An interface sends over one splice at most, and receives from all that it has: who
 * moves from one to another ends the old one when nothing more can come over it.
 *
 * Locks: what there is (the list, the lower's way in) changes under KERNEL_LOCK.  The
 * list is read by drivers, too, who hold locks of theirs, so it also has splice_lock.
 * Who sends counts as a user, under the upper's tx_lock; a splice ends when it has none.
 * One thread ends it, and others who want it gone wait for that.  KERNEL_LOCK is given
 * up by whoever sleeps: what it protected is looked up again then.
 */

#include "vifvar.h"

#include <sys/kmem.h>
#include <sys/lwp.h>
#include <sys/psref.h>
#include <sys/sockio.h>
#include <sys/systm.h>

#include <net/if_dl.h>
#include <net/if_types.h>

#include <netinet/in.h>
#include <netinet6/in6_var.h>

/* The tree's own definitions. */
void	if_link_state_change_tree(struct ifnet *, int);
void	ether_ifdetach_tree(struct ifnet *);

/* Why a splice ends. */
enum vif_end { BOTH_STAY, UPPER_GOES, LOWER_GOES };

static LIST_HEAD(, vif_splice) vif_splices = LIST_HEAD_INITIALIZER(vif_splices);
static kmutex_t splice_lock;
static kcondvar_t splice_ended;

void
vif_splice_init(void)
{

	mutex_init(&splice_lock, MUTEX_DEFAULT, IPL_NET);
	cv_init(&splice_ended, "vifsplice");
}

/* The splice over an interface. */
static struct vif_splice *
vif_splice_over(const struct ifnet *lower)
{
	struct vif_splice *s;

	LIST_FOREACH(s, &vif_splices, s_link)
		if (s->s_lower == lower)
			break;
	return s;
}

/* The interface of ours that one is, if it is. */
struct rump_vif *
vif_of(const struct ifnet *ifp)
{

	return ifp->if_start == vif_start ? ifp->if_softc : NULL;
}

/* The interface of ours that is spliced over this one; and the one below. */
struct rump_vif *
vif_above(struct rump_vif *vif)
{
	struct vif_splice *s;

	if (__predict_true(VIF_IFP(vif)->_if_input != vif_splice_input))
		return NULL;
	s = vif_splice_over(VIF_IFP(vif));
	return s != NULL ? s->s_upper : NULL;
}

struct rump_vif *
vif_below(struct rump_vif *vif)
{

	return vif->tx_splice != NULL ? vif_of(vif->tx_splice->s_lower) : NULL;
}

/* What the lower interface does, of that which the upper can leave to it. */
uint64_t
vif_splice_capabilities(struct vif_splice *s)
{
	uint64_t caps = VIF_CAPS_TX_CSUM | VIF_CAPS_RX_CSUM | IFCAP_CSUM_IPv4_Rx |
	    IFCAP_TSOv4 | IFCAP_TSOv6;

	/* Only ours say of a segment that it was put together. */
	if (vif_of(s->s_lower) != NULL)
		caps |= IFCAP_LRO;
	return s->s_lower->if_capenable & caps;
}

/* Whether the lower interface has seen to the checksum of what a frame carries. */
static bool
vif_verified(const struct mbuf *m)
{
	int flags = m->m_pkthdr.csum_flags;

	return (flags & VIF_CSUM_FLAGS) != 0 &&
	    (flags & (M_CSUM_TCP_UDP_BAD | M_CSUM_DATA |
	    M_CSUM_NO_PSEUDOHDR)) == 0;
}

/*
 * Takes a frame in that the lower interface has received: its way in.
 */
void
vif_splice_input(struct ifnet *lower, struct mbuf *m)
{
	struct vif_splice *s;
	struct rump_vif *vif;
	struct ifnet *ifp;
	struct ether_header *eh;

	KERNEL_LOCK(1, NULL);
	if ((s = vif_splice_over(lower)) == NULL) {
		/* It has ended a moment ago. */
		KERNEL_UNLOCK_ONE(NULL);
		ether_input(lower, m);
		return;
	}
	vif = s->s_upper;
	ifp = VIF_IFP(vif);
	/* What Ethernet's way in would count. */
	VIF_COUNT(lower, if_ibytes, m->m_pkthdr.len);
	if (s->s_through) {
		if ((ifp->if_flags & IFF_RUNNING) == 0)
			goto drop;
		if (vif_verified(m))
			m->m_flags |= VIF_VERIFIED;
		else
			m->m_flags &= ~VIF_VERIFIED;
		/* These would ask for something to be done. */
		m->m_pkthdr.csum_flags = 0;
		m->m_pkthdr.segsz = 0;
		vif->vif_stats.rx_spliced++;
		(void)vif_transmit(ifp, m);
		goto out;
	}
	if ((ifp->if_flags & IFF_RUNNING) == 0 ||
	    m->m_pkthdr.len < ETHER_HDR_LEN) {
		vif->vif_stats.rx_dropped++;
		goto drop;
	}
	if (m->m_len < ETHER_HDR_LEN &&
	    (m = m_pullup(m, ETHER_HDR_LEN)) == NULL) {
		vif->vif_stats.rx_dropped++;
		goto out;
	}
	eh = mtod(m, struct ether_header *);
	if (ETHER_IS_MULTICAST(eh->ether_dhost))
		VIF_COUNT(lower, if_imcasts, 1);
	else if ((ifp->if_flags & IFF_PROMISC) == 0 &&
	    memcmp(CLLADDR(ifp->if_sadl), eh->ether_dhost, ETHER_ADDR_LEN) != 0)
		/* Somebody else's, which only the lower is curious about. */
		goto drop;
	/* Drivers leave this as they found it. */
	if (vif_of(lower) == NULL)
		m->m_pkthdr.segsz = 0;
	m_set_rcvif(m, ifp);
	vif->vif_stats.rx_spliced++;
	vif_input(vif, m);
out:
	KERNEL_UNLOCK_ONE(NULL);
	return;
drop:
	m_freem(m);
	KERNEL_UNLOCK_ONE(NULL);
}

/* Becomes a user of what the interface sends over, if it does.  tx_lock is held. */
struct vif_splice *
vif_splice_enter(struct rump_vif *vif)
{
	struct vif_splice *s = vif->tx_splice;

	if (s != NULL)
		s->s_users++;
	return s;
}

/* No longer.  tx_lock is held. */
void
vif_splice_leave(struct rump_vif *vif, struct vif_splice *s)
{

	if (--s->s_users == 0)
		cv_broadcast(&vif->tx_idle);
}

/*
 * Sends a frame over the lower interface.  Called by a user, with the locks that
 * who sends happens to hold.
 */
int
vif_splice_output(struct rump_vif *vif, struct vif_splice *s, struct mbuf *m)
{
	struct ifnet *lower = s->s_lower;
	u_int finished = 0;
	int error;

	if ((lower->if_flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING)) {
		m_freem(m);
		return ENETDOWN;
	}
	error = vif_output(lower, m, &finished);
	if (__predict_false(finished != 0)) {
		mutex_enter(&vif->tx_lock);
		vif->vif_stats.tx_finished += finished;
		mutex_exit(&vif->tx_lock);
	}
	return error;
}

/* Has what the host hands in go over this splice, or to the stack if it is NULL. */
static void
vif_through_set(struct rump_vif *vif, struct vif_splice *s)
{

	mutex_enter(&vif->tx_lock);
	vif->tx_through = s;
	mutex_exit(&vif->tx_lock);
	vif_renegotiate(vif);
}

/*
 * Sends over this splice from now on, or to the host if it is NULL, with what that can
 * do.  What is in the queue goes the new way.
 */
static void
vif_splice_send_over(struct rump_vif *vif, struct vif_splice *s)
{
	struct vif_splice *old = vif->tx_splice;
	struct rump_vif *below;

	mutex_enter(&splice_lock);
	mutex_enter(&vif->tx_lock);
	vif->tx_splice = s;
	mutex_exit(&vif->tx_lock);
	mutex_exit(&splice_lock);
	vif_renegotiate(vif);
	/* Nobody takes from the old one what the new one could not bring. */
	if (old != NULL && (below = vif_of(old->s_lower)) != NULL)
		vif_tell_state(below);

	/* The host lets go of what it sends through as soon as it hears of this. */
	mutex_enter(&vif->tx_lock);
	while (s != NULL && vif->tx_splice == s && vif->tx_to_host)
		cv_wait(&vif->tx_idle, &vif->tx_lock);
	mutex_exit(&vif->tx_lock);
}

/* Whether the interface has a link: the host's, or that of what it is over. */
void
vif_tell_link(struct rump_vif *vif)
{
	bool link = vif->tx_splice != NULL ?
	    vif->tx_splice->s_lower->if_link_state != LINK_STATE_DOWN :
	    vif->vif_host_link;

	if_link_state_change(VIF_IFP(vif), link ? LINK_STATE_UP : LINK_STATE_DOWN);
}

/*
 * A link has come or gone.  Stands in front of the tree's function, which drivers call
 * at interrupts.
 */
void
if_link_state_change(struct ifnet *ifp, int state)
{
	struct vif_splice *s;

	if_link_state_change_tree(ifp, state);
	if (LIST_EMPTY(&vif_splices))
		return;
	mutex_enter(&splice_lock);
	while ((s = vif_splice_over(ifp)) != NULL && s->s_upper->tx_splice == s) {
		ifp = VIF_IFP(s->s_upper);
		if_link_state_change_tree(ifp, state == LINK_STATE_DOWN ?
		    LINK_STATE_DOWN : LINK_STATE_UP);
	}
	mutex_exit(&splice_lock);
}

/* Whether frames of the one come to the other, or are the same interface's. */
static bool
vif_reaches(const struct ifnet *from, const struct ifnet *to)
{
	struct vif_splice *s;

	if (from == to)
		return true;
	LIST_FOREACH(s, &vif_splices, s_link)
		if (VIF_IFP(s->s_upper) == from && vif_reaches(s->s_lower, to))
			return true;
	return false;
}

/* Whether an interface has addresses that somebody gave it. */
static bool
vif_has_addresses(struct ifnet *ifp)
{
	struct ifaddr *ifa;

	IFADDR_READER_FOREACH(ifa, ifp) {
		switch (ifa->ifa_addr->sa_family) {
		case AF_LINK:
			break;
		case AF_INET6:
			/* These come by themselves. */
			if (IN6_IS_ADDR_LINKLOCAL(&satosin6(ifa->ifa_addr)->sin6_addr))
				break;
			/* FALLTHROUGH */
		default:
			return true;
		}
	}
	return false;
}

static int
vif_splice_check(struct rump_vif *vif, struct ifnet *lower)
{

	if (lower->if_type != IFT_ETHER)
		return EPFNOSUPPORT;
	if (vif_reaches(lower, VIF_IFP(vif)))
		return ELOOP;
	/* Somebody else takes its frames: another splice, bridge(4), vlan(4); or it goes. */
	if (lower->_if_input != ether_input || lower->if_bridge != NULL ||
	    ((struct ethercom *)lower)->ec_nvlans > 0)
		return EBUSY;
	if (vif_has_addresses(lower))
		return EADDRINUSE;
	return 0;
}

/* Sees to it that an interface takes packets of this length. */
int
vif_lower_mtu(struct ifnet *lower, u_long mtu)
{
	struct ifreq request;
	int error;

	if (lower->if_mtu >= mtu)
		return 0;
	memset(&request, 0, sizeof(request));
	strlcpy(request.ifr_name, lower->if_xname, sizeof(request.ifr_name));
	request.ifr_mtu = mtu;
	mutex_enter(lower->if_ioctl_lock);
	error = (*lower->if_ioctl)(lower, SIOCSIFMTU, &request);
	mutex_exit(lower->if_ioctl_lock);
	return error == 0 || error == ENETRESET ? 0 : EMSGSIZE;
}

/*
 * Ends a splice.  The lower interface is left as it was found, unless it goes away.
 * Called with KERNEL_LOCK, which is not held throughout.
 */
static void
vif_splice_end(struct vif_splice *s, enum vif_end end)
{
	struct rump_vif *vif = s->s_upper;
	bool sending = vif->tx_splice == s;

	s->s_ending = true;
	s->s_lower->_if_input = ether_input;
	if (sending && end == LOWER_GOES)
		vif->vif_host_link = false;
	if (sending)
		vif_splice_send_over(vif, NULL);
	if (vif->tx_through == s)
		vif_through_set(vif, NULL);
	if (sending && end != UPPER_GOES)
		vif_tell_link(vif);
	mutex_enter(&vif->tx_lock);
	while (s->s_users > 0)
		cv_wait(&vif->tx_idle, &vif->tx_lock);
	mutex_exit(&vif->tx_lock);
	if (end != LOWER_GOES) {
		vif_groups_leave(s);
		if (s->s_promisc)
			(void)ifpromisc(s->s_lower, 0);
	} else {
		vif_groups_forget(s);
	}

	/* The upper may go, too, from here on. */
	mutex_enter(&splice_lock);
	LIST_REMOVE(s, s_link);
	cv_broadcast(&splice_ended);
	mutex_exit(&splice_lock);
	kmem_free(s, sizeof(*s));
}

/*
 * Ends what there is between these two, either of which may be NULL for all; or waits
 * until somebody else has.
 */
static void
vif_splices_end(struct rump_vif *vif, struct ifnet *lower, enum vif_end end)
{
	struct vif_splice *s, *other;

again:
	LIST_FOREACH(s, &vif_splices, s_link)
		if ((vif == NULL || s->s_upper == vif) &&
		    (lower == NULL || s->s_lower == lower))
			break;
	if (s == NULL)
		return;
	if (s->s_ending) {
		mutex_enter(&splice_lock);
		LIST_FOREACH(other, &vif_splices, s_link)
			if (other == s)
				break;
		if (other != NULL)
			cv_wait(&splice_ended, &splice_lock);
		mutex_exit(&splice_lock);
	} else {
		vif_splice_end(s, end);
	}
	goto again;
}

/* The upper interface goes away. */
void
vif_splice_detach(struct rump_vif *vif)
{

	vif_splices_end(vif, NULL, UPPER_GOES);
}

/* Nobody's any more. */
static void
vif_no_input(struct ifnet *ifp, struct mbuf *m)
{

	m_freem(m);
}

/*
 * A lower interface goes away: its driver is done with it.  Stands in front of the
 * tree's function.
 */
void
ether_ifdetach(struct ifnet *ifp)
{

	KERNEL_LOCK(1, NULL);
	vif_splices_end(NULL, ifp, LOWER_GOES);
	/* There will be no other. */
	ifp->_if_input = vif_no_input;
	KERNEL_UNLOCK_ONE(NULL);
	ether_ifdetach_tree(ifp);
}

static int
vif_splice_make(struct rump_vif *vif, struct ifnet *lower, bool through)
{
	struct ifnet *ifp = VIF_IFP(vif);
	struct vif_splice *s = vif_splice_over(lower);
	int error;

	if (vif->tx_through != NULL)
		return EBUSY;
	if (s != NULL && s->s_upper == vif && !s->s_ending) {
		/* It has been receiving from it all the time. */
		vif_splice_send_over(vif, s);
		vif_tell_link(vif);
		return 0;
	}
	if ((error = vif_splice_check(vif, lower)) != 0)
		return error;

	s = kmem_zalloc(sizeof(*s), KM_SLEEP);
	s->s_upper = vif;
	s->s_lower = lower;
	s->s_through = through;
	LIST_INIT(&s->s_groups);
	/* Nobody ends it before it is there; the caller has a reference to the lower. */
	s->s_users = 1;
	mutex_enter(&splice_lock);
	LIST_INSERT_HEAD(&vif_splices, s, s_link);
	mutex_exit(&splice_lock);
	lower->_if_input = vif_splice_input;

	error = vif_lower_mtu(lower, ifp->if_mtu);
	if (error == 0 && (through || memcmp(CLLADDR(lower->if_sadl),
	    CLLADDR(ifp->if_sadl), ETHER_ADDR_LEN) != 0)) {
		error = ifpromisc(lower, 1);
		s->s_promisc = error == 0;
	}
	if (error == 0 && !through)
		error = vif_groups_join(s);
	if (error == 0 && through) {
		vif_through_set(vif, s);
	} else if (error == 0) {
		vif_splice_send_over(vif, s);
		vif_tell_link(vif);
		/* Those that came meanwhile; from here on they are told of. */
		(void)vif_groups_join(s);
	}
	mutex_enter(&vif->tx_lock);
	vif_splice_leave(vif, s);
	mutex_exit(&vif->tx_lock);
	if (error != 0)
		vif_splices_end(vif, lower, BOTH_STAY);
	return error;
}

/* The same over the interface of this name. */
static int
vif_splice_named(struct rump_vif *vif, const char *name, bool through)
{
	struct psref psref;
	struct ifnet *lower;
	int bound, error;

	bound = curlwp_bind();
	if ((lower = if_get(name, &psref)) != NULL) {
		error = vif_splice_make(vif, lower, through);
		if_put(lower, &psref);
	} else {
		error = ENXIO;
	}
	curlwp_bindx(bound);
	return error;
}

int
rump_vif_splice(struct rump_vif *vif, const char *name)
{
	int error = 0;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	if (name == NULL) {
		vif_splice_send_over(vif, NULL);
		vif_tell_link(vif);
	} else {
		error = vif_splice_named(vif, name, false);
	}
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return error;
}

int
rump_vif_through(struct rump_vif *vif, const char *name)
{
	int error;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	error = vif_splice_named(vif, name, true);
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return error;
}

void
rump_vif_unsplice(struct rump_vif *vif, const char *name)
{
	struct psref psref;
	struct ifnet *lower;
	int bound;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	bound = curlwp_bind();
	if ((lower = if_get(name, &psref)) != NULL) {
		vif_splices_end(vif, lower, BOTH_STAY);
		if_put(lower, &psref);
	}
	curlwp_bindx(bound);
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
}
