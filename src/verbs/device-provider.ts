/**
 * A kind of device as data: which names are of this kind, which devices this machine has, and how one is opened.
 * `openDevice` asks a list of providers; nothing above it needs to know which kinds there are.
 */
import type { Device } from './device.js';

export interface OpenDeviceOptions {
  /**
   * The address of this machine that the peer reaches already, or on which a server listens: an IP address, `0.0.0.0`
   * and `::` included. A name that leaves the address open (`soft`) gets a device there; other names ignore it.
   */
  readonly near?: string;
}

export interface DeviceProvider {
  /** Short and stable, for reports: `soft`. The `kind` of its devices. */
  readonly kind: string;
  /** For people. */
  readonly description: string;
  /** Whether this provider opens devices of that name. The first one in the list that says so is asked. */
  recognizes(name: string): boolean;
  /**
   * Names that `open` takes on this machine.
   *
   * @throws RdmaError saying what is missing, where this machine cannot have such devices.
   */
  list(): Promise<readonly string[]>;
  /** @throws RdmaError when there is no such device, or its name is wrong. */
  open(name: string, options: OpenDeviceOptions): Promise<Device>;
}
