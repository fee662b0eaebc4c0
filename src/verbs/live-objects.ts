/** How many objects of each kind a device has open. Objects count themselves in and out. */
import type { DeviceCensus } from './device.js';

export class LiveObjects implements DeviceCensus {
  pds = 0;
  mrs = 0;
  mws = 0;
  cqs = 0;
  channels = 0;
  qps = 0;
  srqs = 0;
  ahs = 0;

  get total(): number {
    const { pds, mrs, mws, cqs, channels, qps, srqs, ahs } = this;
    return pds + mrs + mws + cqs + channels + qps + srqs + ahs;
  }

  snapshot(): DeviceCensus {
    const { pds, mrs, mws, cqs, channels, qps, srqs, ahs } = this;
    return { pds, mrs, mws, cqs, channels, qps, srqs, ahs };
  }
}
