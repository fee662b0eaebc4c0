/** Inputs of targets that read steps of a fixed length, as their seeds write them: each step with the bytes that matter. */

/** `steps` one after the other, each filled with zeros, or cut, to `stepBytes`. */
export const stepInput = (stepBytes: number, steps: readonly (readonly number[])[]): Uint8Array =>
  Uint8Array.from(
    steps.flatMap((step) => [...step, ...new Array<number>(stepBytes).fill(0)].slice(0, stepBytes)),
  );
