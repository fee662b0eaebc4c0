/** What flows are made of: charts of boxes and arrows, and sequences of messages between parties. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';

export type Count = (snapshot: ServerSnapshot) => number;
export type Text = (snapshot: ServerSnapshot) => string;

/** A part of a flow that is lit when what it counts grows. */
export interface Part {
  /** How often it ran. None: it is there as long as the server is. */
  readonly count?: Count;
  /** What stands beside it. Default: its count. */
  readonly text?: Text;
}

export interface Box extends Part {
  readonly id: string;
  /** Lines are parted by \n. */
  readonly label: string;
  /** Column and row. */
  readonly at: readonly [number, number];
  /** So many columns. Default 1. */
  readonly span?: number;
  readonly kind?: 'choice' | 'end';
  /** Nothing stands beside it. */
  readonly isPlain?: boolean;
}

/** Lit with the box that it leads to, unless it counts something of its own. */
export interface Arrow extends Part {
  readonly from: string;
  readonly to: string;
  readonly label?: string;
  /** Back along that side; out of the side, then down; up between two columns; around itself. Default: the short way. */
  readonly way?: 'left' | 'right' | 'side' | 'between' | 'loop';
}

export interface Chart {
  readonly columns: number;
  readonly boxes: readonly Box[];
  readonly arrows: readonly Arrow[];
  readonly frames?: readonly { readonly title: string; readonly of: readonly string[] }[];
}

export interface Message extends Part {
  readonly from: string;
  readonly to: string;
  readonly label: string;
}

export interface Sequence {
  readonly parties: readonly string[];
  readonly messages: readonly Message[];
}

export interface Flow {
  readonly title: string;
  readonly about: string;
  readonly chart?: Chart;
  readonly sequence?: Sequence;
}
