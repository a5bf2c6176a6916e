/** What a worker says of itself in its hello. A test holds it against package.json, which a bundle may not have. */
export const SDK_NAME = 'gearmesh-node';
export const SDK_VERSION = '0.1.0';
