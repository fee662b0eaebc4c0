/** What the promise brings; fails when that takes too long, so that what hangs is told from what is late. */
export async function within<Result>(promise: Promise<Result>, millis = 3000): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${millis} ms`)), millis);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
