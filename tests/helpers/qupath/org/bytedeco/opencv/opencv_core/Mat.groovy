package org.bytedeco.opencv.opencv_core

/** Pixels outside of Java's care: they are gone once it is closed. */
class Mat implements AutoCloseable {
    int rows, cols
    float[] values

    @Override
    void close() {
        values = null
    }
}
