/*
 * The host's frames over an interface below, without the stack: the direction out.
 *
 * What the host leaves to be done is left to the interface below as far as that does it
 * (vif_splice_output).  The host is told how many frames were taken, and keeps those
 * that there was no room for.
 */

#include "vifvar.h"

#include <sys/lwp.h>
#include <sys/systm.h>

/* Says in a frame what is to be done to it; false if that cannot be. */
static bool
vif_asked(struct mbuf *m, const struct rump_vif_offload *offload)
{
	int gso = offload->gso_type & ~RUMP_VIF_GSO_ECN;
	u_int start = offload->csum_start;

	if ((offload->flags & RUMP_VIF_NEEDS_CSUM) == 0)
		return gso == RUMP_VIF_GSO_NONE;
	switch (gso) {
	case RUMP_VIF_GSO_NONE:
		return vif_ask(m, start, start + offload->csum_offset, 0);
	case RUMP_VIF_GSO_TCPV4:
	case RUMP_VIF_GSO_TCPV6:
		return offload->gso_size > 0 &&
		    vif_ask(m, start, start + offload->csum_offset, offload->gso_size);
	default:
		return false;
	}
}

uint32_t
rump_vif_put(struct rump_vif *vif, const struct rump_vif_tx *frames,
    uint32_t count)
{
	struct vif_splice *s;
	struct mbuf *m;
	uint32_t i, dropped = 0;
	int bound, error;

	rump_schedule();
	mutex_enter(&vif->tx_lock);
	if ((s = vif->tx_through) != NULL)
		s->s_users++;
	mutex_exit(&vif->tx_lock);
	if (s == NULL) {
		/* What it went over is gone. */
		vif->vif_stats.rx_dropped += count;
		rump_unschedule();
		return count;
	}
	bound = curlwp_bind();
	for (i = 0; i < count; i++) {
		if (frames[i].len < ETHER_HDR_LEN) {
			dropped++;
			continue;
		}
		if ((m = vif_copied(frames[i].parts, frames[i].nparts,
		    frames[i].len)) == NULL)
			break;
		m->m_pkthdr.len = frames[i].len;
		if (!vif_asked(m, &frames[i].offload)) {
			m_freem(m);
			dropped++;
			continue;
		}
		if (ETHER_IS_MULTICAST(mtod(m, struct ether_header *)->ether_dhost))
			m->m_flags |= M_MCAST;
		if ((error = vif_splice_output(vif, s, m)) == ENOBUFS)
			break;
		dropped += error != 0;
	}
	curlwp_bindx(bound);
	mutex_enter(&vif->tx_lock);
	vif->vif_stats.tx_spliced += i;
	vif->vif_stats.tx_dropped += dropped;
	vif_splice_leave(vif, s);
	mutex_exit(&vif->tx_lock);
	rump_unschedule();
	return i;
}
