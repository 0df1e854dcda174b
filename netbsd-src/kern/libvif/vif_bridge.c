/*
 * Frames that pass through a bridge.
 *
 * What is still to be done to a frame, or was verified, a bridge would forget: the tree's has no
 * more than flags for it that mean something else on the way in, and clears them.  So a frame that
 * comes from the host has it beside (VIF_BESIDE), in fields that bridge(4) leaves alone:
 *
 *	csum_data	as it goes with csum_flags; 0 if the checksum was verified
 *	segsz		of the pieces of a TCP segment; 0 if it is none
 *
 * Where it leaves over another interface, that one is asked for as much as it does, and the rest
 * is done here (vif_finish.c).  A segment of a guest's crosses the bridge as a whole then, and its
 * checksum is never made where the other side needs none.
 *
 * Only frames for others are so marked.  Those for the kernel itself go to it as if there were no
 * bridge; those for all are finished when they come.
 */

#include "vifvar.h"

#include <sys/psref.h>
#include <sys/systm.h>

#include <net/if_dl.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

/* The tree's own definition. */
int	if_transmit_lock_tree(struct ifnet *, struct mbuf *);

/* What is said beside, of a frame that has just come. */
void
vif_mark(struct mbuf *m, const struct rump_vif_offload *offload)
{
	u_int link = vif_link_header(m);

	m->m_pkthdr.csum_data = 0;
	if (offload->flags & RUMP_VIF_NEEDS_CSUM) {
		if (offload->csum_start > link)
			m->m_pkthdr.csum_data =
			    (offload->csum_start - link) << 16 | offload->csum_offset;
		else
			vif_complete(m, offload->csum_start,
			    offload->csum_start + offload->csum_offset);
	}
	m->m_flags |= VIF_BESIDE;
}

/* The name of the member that a frame is for; false if it is for others. */
static bool
vif_bridge_member(const struct ifnet *from, const uint8_t *address, char *name)
{
	struct ifnet *ifp;
	int s;

	s = pserialize_read_enter();
	IFNET_READER_FOREACH(ifp)
		if (ifp->if_bridge == from->if_bridge && ifp->if_sadl != NULL &&
		    memcmp(CLLADDR(ifp->if_sadl), address, ETHER_ADDR_LEN) == 0) {
			strlcpy(name, ifp->if_xname, IFNAMSIZ);
			break;
		}
	pserialize_read_exit(s);
	return ifp != NULL;
}

/* Takes a segment in that is longer than a frame, for a member of this name. */
static void
vif_bridge_large(struct rump_vif *vif, const char *name, struct mbuf *m)
{
	struct psref psref;
	struct ifnet *member;

	if ((member = if_get(name, &psref)) == NULL) {
		m_freem(m);
		return;
	}
	m_set_rcvif(m, member);
	vif_input_large(vif, member, m);
	if_put(member, &psref);
}

/* Hands a marked frame to the bridge that the interface it has come over is a member of. */
void
vif_bridge_input(struct rump_vif *vif, struct mbuf *m)
{
	struct ifnet *ifp = VIF_IFP(vif);
	const struct ether_header *eh = mtod(m, struct ether_header *);
	u_int start = vif_link_header(m) + (m->m_pkthdr.csum_data >> 16);
	char member[IFNAMSIZ];

	if (ETHER_IS_MULTICAST(eh->ether_dhost)) {
		if (m->m_pkthdr.segsz != 0) {
			/* There are no connections with groups. */
			vif->vif_stats.rx_dropped++;
			m_freem(m);
			return;
		}
		if (m->m_pkthdr.csum_data != 0)
			vif_complete(m, start,
			    start + (m->m_pkthdr.csum_data & 0xffff));
		m->m_flags &= ~VIF_BESIDE;
	} else if (vif_bridge_member(ifp, eh->ether_dhost, member)) {
		m->m_flags &= ~VIF_BESIDE;
		if (vif_is_large(ifp, m)) {
			vif_bridge_large(vif, member, m);
			return;
		}
	}
	(*ifp->_if_input)(ifp, m);
}

/*
 * Whether no more segments should wait to be sent over an interface: a guest sends them of
 * 64 KiB, and faster than another takes them.
 */
static bool
vif_bridge_is_full(struct rump_vif *vif)
{
	bool full;

	mutex_enter(&vif->tx_lock);
	if ((full = vif->tx_bytes >= VIF_QUEUE_BYTES))
		vif->vif_stats.tx_dropped++;
	mutex_exit(&vif->tx_lock);
	return full;
}

/* Sends a marked frame over an interface. */
static int
vif_bridge_output(struct ifnet *ifp, struct mbuf *m)
{
	struct rump_vif *vif = vif_of(ifp);
	u_int start = vif_link_header(m) + (m->m_pkthdr.csum_data >> 16);
	u_int at = start + (m->m_pkthdr.csum_data & 0xffff);

	m->m_flags &= ~VIF_BESIDE;
	m->m_pkthdr.csum_flags = 0;
	if (m->m_pkthdr.csum_data == 0) {
		if (vif != NULL)
			m->m_flags |= VIF_VERIFIED;
		return if_transmit_lock_tree(ifp, m);
	}
	if (m->m_pkthdr.segsz != 0 && vif != NULL && vif_bridge_is_full(vif)) {
		m_freem(m);
		return ENOBUFS;
	}
	/* Its headers are written into, and one that goes to several is shared. */
	if (m_makewritable(&m, 0, MIN((u_int)m->m_pkthdr.len,
	    start + sizeof(struct tcphdr)), M_DONTWAIT) != 0) {
		m_freem(m);
		return ENOBUFS;
	}
	if (!vif_ask(m, start, at, m->m_pkthdr.segsz)) {
		m_freem(m);
		return EINVAL;
	}
	return vif_output(ifp, m, NULL);
}

/* Stands in front of the tree's function, by which a bridge sends. */
int
if_transmit_lock(struct ifnet *ifp, struct mbuf *m)
{

	return __predict_false((m->m_flags & VIF_BESIDE) != 0) ?
	    vif_bridge_output(ifp, m) : if_transmit_lock_tree(ifp, m);
}
