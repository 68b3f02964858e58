package qupath.opencv.dnn

import org.bytedeco.opencv.opencv_core.Mat

interface DnnModel extends AutoCloseable {
    Map<String, Mat> predict(Map<String, Mat> blobs)

    Mat predict(Mat mat)
}
